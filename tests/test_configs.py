"""What every shipped config must hold, against mmseg, open_clip and the protocol."""
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS

import mmseg_mvp  # noqa: F401
from mmseg_mvp.vocabularies import UNSEEN, class_names

ROOT = Path(__file__).parents[1]
METHODS = ('maskclip', 'mixing', 'mvp_seg')
LEAVES = sorted(path for method in METHODS for path in (ROOT / 'configs' / method).glob('*.py'))
STEMS = ('voc', 'context', 'ade20k', 'coco_stuff')


@pytest.fixture(params=LEAVES, ids=lambda path: f'{path.parent.name}/{path.stem}')
def cfg(request):
    return Config.fromfile(request.param)


def test_both_methods_come_with_every_data_set_and_two_clips():
    names = {f'{path.parent.name}/{path.stem}' for path in LEAVES}
    for method in ('maskclip', 'mvp_seg'):
        assert {f'{method}/{stem}_zs{clip}' for stem in STEMS for clip in ('', '_vit-b16')} <= names
        assert f'{method}/toy_zs' in names


def test_vocabularies_list_the_data_sets_classes_in_their_order(cfg):
    dataset = cfg.test_dataloader.dataset
    names = DATASETS.get(dataset.type).METAINFO['classes']
    head = cfg.model.decode_head
    assert class_names(head.get('test_classes') or head.train_classes) == list(names)
    if cfg.train_dataloader is None:
        return
    training = cfg.train_dataloader.dataset
    for one in training.get('datasets', [training]):
        seen = [name for name in names if name not in UNSEEN[head.test_classes]]
        assert list(one.metainfo.classes) == seen == class_names(head.train_classes)


def test_unseen_classes_choose_no_checkpoint(cfg):
    assert 'save_best' not in cfg.default_hooks.checkpoint
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'ZeroShotIoUMetric'
    assert set(class_names(cfg.val_evaluator.unseen)) == set(UNSEEN[cfg.val_evaluator.unseen.partition(':')[0]])


def test_clip_and_the_normalisation_of_images(cfg):
    clip = cfg.model.clip
    if clip.model != 'toy-rn':
        assert clip.weights in open_clip.list_pretrained_tags_by_model(clip.model)
    if cfg.model.backbone.type == 'CLIPImageEncoder':
        mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    else:  # mmseg's backbones start from ImageNet
        mean, std = open_clip.constants.IMAGENET_MEAN, open_clip.constants.IMAGENET_STD
    preprocessor = cfg.model.data_preprocessor
    assert np.allclose(preprocessor.mean, 255 * np.array(mean), atol=1e-3)
    assert np.allclose(preprocessor.std, 255 * np.array(std), atol=1e-3)
    assert preprocessor.bgr_to_rgb


def test_training_crops_are_padded_to_one_size(cfg):
    if cfg.train_dataloader is not None and 'crop_size' in cfg:
        assert tuple(cfg.model.data_preprocessor.size) == tuple(cfg.crop_size)


@pytest.mark.slow
@pytest.mark.parametrize('name, stride, dim', [('voc_zs', 32, 1024), ('voc_zs_vit-b16', 16, 512)])
def test_the_papers_architectures_segment_an_image(name, stride, dim):
    cfg = Config.fromfile(ROOT / 'configs' / 'mvp_seg' / f'{name}.py')
    cfg.model.clip.weights = None
    model = MODELS.build(cfg.model).eval()
    assert (model.backbone.stride, model.backbone.embed_dim) == (stride, dim)
    with torch.no_grad():
        logits = model.inference(torch.randn(1, 3, 224, 300), [dict(ori_shape=(224, 300))])
    assert logits.shape == (1, 20, 224, 300) and logits.isfinite().all()
    assert sum(value.numel() * value.element_size() for value in model.state_dict().values()) < 2e6

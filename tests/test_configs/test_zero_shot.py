"""Shipped zero-shot configs against mmseg, open_clip and the protocol."""
import argparse
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from fixtures.builders import CONFIGS, parts
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS

import mmseg_mvp  # noqa: F401
from mmseg_mvp import app
from mmseg_mvp.clip.dense_variants import CLASS_TOKEN, POOL_VARIANTS, RESNET_POOL, VIT_VARIANTS, find_variant
from mmseg_mvp.clip.proxy import ProxyVariant
from mmseg_mvp.vocabularies import UNSEEN, class_names

METHODS = ('dense', 'maskclip', 'mixing', 'mvp_seg')
CLOSED = ('deeplabv3plus_r50_gpr', 'fcn_clip-vit-b16')  # without a vocabulary: see test_mixing.py
LEAVES = sorted(path for method in METHODS for path in (CONFIGS / method).glob('*.py')
                if path.stem not in CLOSED)
PLUS = sorted((CONFIGS / 'mvp_seg_plus').glob('*.py'))
STEMS = ('voc', 'context', 'ade20k', 'coco_stuff')


@pytest.fixture(params=LEAVES, ids=lambda path: f'{path.parent.name}/{path.stem}')
def cfg(request):
    return Config.fromfile(request.param)


def test_both_methods_come_with_every_data_set_and_two_clips():
    names = {f'{path.parent.name}/{path.stem}' for path in LEAVES}
    for method in ('maskclip', 'mvp_seg'):
        assert {f'{method}/{stem}_zs{clip}' for stem in STEMS for clip in ('', '_vit-b16')} <= names
        assert f'{method}/toy_zs' in names


def test_every_dense_variant_has_a_config_over_maskclips():
    found = {}
    for path in sorted((CONFIGS / 'dense').glob('voc_zs_*.py')):
        cfg = Config.fromfile(path)
        pool = cfg.model.clip.model.startswith('RN')
        row = find_variant(cfg.model.backbone.dense, RESNET_POOL if pool else CLASS_TOKEN, path.stem)
        found[path.stem.removeprefix('voc_zs_')] = row
        base = Config.fromfile(CONFIGS / 'maskclip' / ('voc_zs.py' if pool else 'voc_zs_vit-b16.py'))
        base.model.backbone.dense = cfg.model.backbone.dense
        assert cfg.to_dict() == base.to_dict()  # nothing else differs
    assert found.pop('resclip') == replace(VIT_VARIANTS['resclip'], middle_share=0.6)
    assert found.pop('rn50_kk') == POOL_VARIANTS['kk']
    assert found.pop('proxy') == ProxyVariant()  # of the paper
    assert found == {name: row for name, row in VIT_VARIANTS.items() if name not in ('maskclip', 'resclip')}


def test_vocabularies_list_the_data_sets_classes_in_their_order(cfg):
    dataset = cfg.test_dataloader.dataset
    names = DATASETS.get(dataset.type).METAINFO['classes']
    head = cfg.model.decode_head
    assert class_names(head.get('test_classes') or head.train_classes) == list(names)
    if cfg.train_dataloader is None:
        return
    for one in parts(cfg.train_dataloader):
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
        tag = open_clip.get_pretrained_cfg(clip.model, clip.weights)
        assert tag.get('quick_gelu', False) == clip.model.endswith('-quickgelu')
    preprocessor = cfg.model.data_preprocessor
    if cfg.model.backbone.type == 'CLIPImageEncoder':
        assert preprocessor.get('mean') is preprocessor.get('std') is None  # the segmentor takes those of the CLIP
    else:  # mmseg's backbones are pretrained on ImageNet
        assert np.allclose(preprocessor.mean, 255 * np.array(open_clip.constants.IMAGENET_MEAN), atol=1e-3)
        assert np.allclose(preprocessor.std, 255 * np.array(open_clip.constants.IMAGENET_STD), atol=1e-3)
    assert preprocessor.bgr_to_rgb


def test_training_crops_are_padded_to_one_size(cfg):
    if cfg.train_dataloader is not None and 'crop_size' in cfg:
        assert tuple(cfg.model.data_preprocessor.size) == tuple(cfg.crop_size)


@pytest.fixture(params=PLUS, ids=lambda path: path.stem)
def plus(request):
    return Config.fromfile(request.param)


def test_students_come_with_every_data_set():
    assert {f'{stem}_zs' for stem in (*STEMS, 'toy', 'context60')} | {'voc_unlabelled', 'toy_unlabelled'} == {
        path.stem for path in PLUS}


def test_students_know_all_names_and_their_teachers_the_seen_ones(plus):
    names = list(DATASETS.get(plus.test_dataloader.dataset.type).METAINFO['classes'])
    for one in parts(plus.train_dataloader):
        assert list(one.metainfo.classes) == names == class_names(plus.model.decode_head.train_classes)
    unseen = class_names(plus.model.unseen)
    hiding = [step for step in one.pipeline if step.type.startswith('Hide')]
    assert len(hiding) == 1
    if hiding[0].type == 'HideEverything':
        assert unseen == names and plus.model.teacher_share == 1
        assert plus.model.teacher.decode_head.prompts.type == 'TemplatePrompts'
    else:
        assert class_names(hiding[0].unseen) == unseen == class_names(plus.test_evaluator.unseen)
        taught = class_names(plus.model.teacher.decode_head.train_classes)
        assert set(taught).isdisjoint(unseen) and len(taught) + len(unseen) == len(names)


@pytest.mark.parametrize('name, head, iterations, optimizer, crop', [
    ('voc_zs', 'TextDeepLabV2Head', 20000, (0.01, 0.0005), 512),
    ('context60_zs', 'TextDeepLabV3PlusHead', 40000, (0.004, 0.0001), 480),
    ('coco_stuff_zs', 'TextDeepLabV2Head', 80000, (0.01, 0.0005), 512)])
def test_students_follow_the_published_schedule(name, head, iterations, optimizer, crop):
    cfg = Config.fromfile(CONFIGS / 'mvp_seg_plus' / f'{name}.py')
    assert (cfg.model.decode_head.type, cfg.train_cfg.max_iters, cfg.param_scheduler[0].end) == (
        head, iterations, iterations)
    assert (cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.optimizer.weight_decay) == optimizer
    assert cfg.crop_size == tuple(cfg.model.data_preprocessor['size']) == (crop, crop)
    assert (cfg.model.teacher_share, cfg.train_dataloader.batch_size) == (0.1, 4)
    assert cfg.model.decode_head.get('learn_background', False) == (name == 'context60_zs')


@pytest.mark.slow
def test_no_two_configs_share_a_work_folder():
    parser = argparse.ArgumentParser()
    app.add_common_arguments(parser)
    paths = sorted(path for path in CONFIGS.glob('*/*.py') if path.parent.name != '_base_')
    folders = [app.load_config(parser.parse_args([str(path)])).work_dir for path in paths]
    assert len(set(folders)) == len(paths) > 50
    assert all(folder.startswith(f'./work_dirs/{path.parent.name}/{path.stem}') for folder, path in zip(folders, paths))


@pytest.mark.usefixtures('mmseg_scope')
@pytest.mark.slow
@pytest.mark.parametrize('name, stride, dim', [('voc_zs', 32, 1024), ('voc_zs_vit-b16', 16, 512)])
def test_the_papers_architectures_segment_an_image(name, stride, dim):
    cfg = Config.fromfile(CONFIGS / 'mvp_seg' / f'{name}.py')
    cfg.model.clip.weights = None
    model = MODELS.build(cfg.model).eval()
    assert (model.backbone.stride, model.backbone.embed_dim) == (stride, dim)
    with torch.no_grad():
        logits = model.inference(torch.randn(1, 3, 224, 300), [dict(ori_shape=(224, 300))])
    assert logits.shape == (1, 20, 224, 300) and logits.isfinite().all()
    assert sum(value.numel() * value.element_size() for value in model.state_dict().values()) < 2e6

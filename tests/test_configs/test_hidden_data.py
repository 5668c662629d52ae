"""The data set configs that hide labels: differences from the inductive configs, and batches."""
import shutil

import numpy as np
import pytest
import torch
from fixtures.builders import DATA_CONFIGS, classes_in_file, data_config, parts
from fixtures.trees import WRITERS, write_voc
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_mvp.datasets import check_data
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.labels import HIDDEN, IGNORE, UNKNOWN, hidden_truth, is_hidden
from mmseg_mvp.vocabularies import UNSEEN, class_names

pytestmark = pytest.mark.usefixtures('mmseg_scope')

NAMES = [*(f'{label_set}_transductive' for label_set in (*WRITERS, 'toy')), 'voc20_unlabelled', 'toy_unlabelled']


def load(name, folder=None):
    """Load a config for the data in a folder, without worker processes and with batches of two."""
    cfg = data_config(name, folder, workers=False)
    cfg.train_dataloader.batch_size = 2
    return cfg


@pytest.mark.parametrize('name', NAMES)
def test_only_the_training_labels_differ_from_the_inductive_config(name):
    label_set = name.rpartition('_')[0]
    cfg, base = Config.fromfile(DATA_CONFIGS / f'{name}.py'), Config.fromfile(DATA_CONFIGS / f'{label_set}_zs.py')
    for one, other in zip(parts(cfg.train_dataloader), parts(base.train_dataloader), strict=True):
        assert one.pop('metainfo') == dict(classes=class_names(label_set)) != other.pop('metainfo')
        assert one.pop('pipeline') == cfg.train_pipeline != other.pop('pipeline')
        if name == 'voc20_unlabelled':
            assert 'seg_map_path' not in one.data_prefix and other.data_prefix.pop('seg_map_path')
    cfg.pop('train_pipeline'), base.pop('train_pipeline', None)
    assert cfg.to_dict() == base.to_dict()


@pytest.mark.parametrize('name', ['voc20_transductive', 'voc20_unlabelled', 'ade20k_transductive'])
def test_dumped_config_is_the_same(name, tmp_path):
    cfg = Config.fromfile(DATA_CONFIGS / f'{name}.py')
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', NAMES)
def test_a_leaf_can_build_on_it(name, tmp_path):
    leaf = tmp_path / 'leaf.py'
    leaf.write_text(f"_base_ = '{(DATA_CONFIGS / name).as_posix()}.py'\ntrain_dataloader = dict(batch_size=7)\n")
    cfg, base = Config.fromfile(leaf), Config.fromfile(DATA_CONFIGS / f'{name}.py')
    assert cfg.train_dataloader.pop('batch_size') == 7 and base.train_dataloader.pop('batch_size') < 17
    assert cfg.to_dict() == base.to_dict()


@pytest.mark.parametrize('name', NAMES)
def test_labels_are_hidden_before_the_crop_is_chosen(name):
    label_set, _, kind = name.rpartition('_')
    shown, loading = parts(load(f'{label_set}_zs').train_dataloader)[0].pipeline, 1 if label_set == 'toy' else 2
    hiding = dict(type='HideEverything')
    if kind == 'transductive':
        hiding = dict(type='HideClasses', classes=label_set, unseen=f'{label_set}:unseen')
    expected = [*shown[:loading], hiding, *shown[loading:]]
    if name == 'voc20_unlabelled':
        assert expected.pop(1).type == 'LoadCheckedAnnotations' and expected[3].update(cat_max_ratio=1.) is None
    assert load(name).train_pipeline == expected


@pytest.mark.parametrize('label_set', WRITERS)
def test_a_transductive_batch(label_set, tmp_path):
    WRITERS[label_set](tmp_path)
    cfg = load(f'{label_set}_transductive', tmp_path)
    check_data(cfg, ['train_dataloader'])
    dataset, names = DATASETS.build(cfg.train_dataloader.dataset), class_names(label_set)
    assert list(dataset.metainfo['classes']) == names and len(dataset) == (4 if label_set == 'voc20' else 2)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    assert [image.dtype for image in batch['inputs']] == [torch.uint8] * 2
    for sample in batch['data_samples']:
        in_file = classes_in_file(sample.seg_map_path, label_set)
        labels = sample.gt_sem_seg.data
        hidden = is_hidden(labels)
        seen = {names[label] for label in labels[~hidden].unique().tolist() if label != 255}
        unseen = {names[label] for label in hidden_truth(labels)[hidden].unique().tolist()}
        assert seen <= in_file - set(UNSEEN[label_set]) and unseen <= in_file & set(UNSEEN[label_set])
        assert seen or unseen


def test_unlabelled_voc_reads_no_mask(tmp_path):
    root = write_voc(tmp_path)
    for masks in root.glob('SegmentationClass*'):
        shutil.rmtree(masks)
    cfg = load('voc20_unlabelled', tmp_path)
    check_data(cfg, ['train_dataloader'])
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 4 and list(dataset.metainfo['classes']) == class_names('voc20')
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    for image, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        assert sample.gt_sem_seg.shape == image.shape[1:] and max(image.shape) <= 512
        assert (sample.gt_sem_seg.data == HIDDEN + UNKNOWN).all()


@pytest.mark.parametrize('kind', ['transductive', 'unlabelled'])
def test_toy_batches(kind):
    cfg = load(f'toy_{kind}')
    cfg.train_dataloader.batch_size = 16
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    labels = np.concatenate([sample.gt_sem_seg.data.numpy() for sample in batch['data_samples']])
    truth = np.stack([draw_scene(int(sample.img_path[-10:-4])).labels for sample in batch['data_samples']]).astype(int)
    unseen = [class_names('toy').index(name) for name in UNSEEN['toy']]
    hidden = np.isin(truth, unseen) if kind == 'transductive' else np.ones_like(truth, bool)
    assert labels.shape == (16, 64, 64) and np.isin(truth, unseen).any()
    assert np.array_equal(is_hidden(labels), hidden)
    assert np.array_equal(labels[~hidden], truth[~hidden])
    assert np.array_equal(hidden_truth(labels)[hidden], np.where(truth == IGNORE, -1, truth)[hidden])

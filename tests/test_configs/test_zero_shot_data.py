"""The zero-shot data set configs on small trees in the real file formats."""
from pathlib import Path

import mmseg
import numpy as np
import pytest
from fixtures.builders import DATA_CONFIGS, FIRST, LOADERS, classes_in_file, data_config, file_labels, parts
from fixtures.trees import HEIGHT, WIDTH, WRITERS, stripes
from mmengine.config import Config
from mmseg.registry import DATASETS, METRICS

import mmseg_mvp.evaluation  # noqa: F401  (registers the metric)
from mmseg_mvp.datasets import check_data
from mmseg_mvp.vocabularies import UNSEEN, class_names

pytestmark = pytest.mark.usefixtures('mmseg_scope')

SIZE = {'voc20': 512, 'context59': 480, 'context60': 480, 'ade20k': 512, 'coco_stuff': 512}


@pytest.fixture(params=WRITERS)
def label_set(request):
    return request.param


@pytest.fixture
def cfg(label_set, tmp_path):
    WRITERS[label_set](tmp_path)
    return data_config(f'{label_set}_zs', tmp_path)


def test_training_sees_seen_classes_only(cfg, label_set):
    check_data(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    seen = class_names(f'{label_set}:seen')
    assert len(dataset) == (4 if label_set == 'voc20' else 2)
    assert list(dataset.metainfo['classes']) == seen and len(dataset.metainfo['palette']) == len(seen)
    for item in dataset:
        assert item['inputs'].shape[0] == 3 and max(item['inputs'].shape[1:]) <= SIZE[label_set]
        labels = set(np.unique(item['data_samples'].gt_sem_seg.data.numpy())) - {255}
        in_file = classes_in_file(item['data_samples'].seg_map_path, label_set)
        assert {seen[label] for label in labels} <= in_file - set(UNSEEN[label_set])


def test_evaluation_sees_every_label_of_the_file(cfg, label_set):
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    assert len(dataset) == 4 and list(dataset.metainfo['classes']) == class_names(label_set)
    for item in dataset:
        raw = file_labels(item['data_samples'].seg_map_path) - FIRST[label_set]
        expected = np.where((raw < 0) | (raw >= len(class_names(label_set))), 255, raw)
        labels = item['data_samples'].gt_sem_seg.data.numpy()
        assert labels.shape == (1, HEIGHT, WIDTH) and np.array_equal(labels[0], expected)
        assert max(item['inputs'].shape[1:]) == 614 if SIZE[label_set] == 512 else 520


def test_evaluators_know_the_data_set(cfg, label_set):
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    assert metric.unseen == class_names(f'{label_set}:unseen')


def test_test_time_augmentation_keeps_the_label_size(cfg):
    part = cfg.test_dataloader.dataset
    part.pipeline = cfg.tta_pipeline
    item = DATASETS.build(part)[0]
    assert len(item['inputs']) == 12
    assert {sample.gt_sem_seg.shape for sample in item['data_samples']} == {(HEIGHT, WIDTH)}


def test_dumped_config_is_the_same(tmp_path):
    cfg = Config.fromfile(DATA_CONFIGS / 'voc20_zs.py')
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()
    assert 'import' not in (tmp_path / 'dumped.py').read_text()


def test_a_leaf_can_build_on_it(label_set, tmp_path):
    leaf = tmp_path / 'leaf.py'
    shipped = DATA_CONFIGS / f'{label_set}_zs.py'
    leaf.write_text(f"_base_ = '{shipped.as_posix()}'\ntrain_dataloader = dict(batch_size=7)\n")
    cfg, base = Config.fromfile(leaf), Config.fromfile(shipped)
    assert cfg.train_dataloader.pop('batch_size') == 7 and base.train_dataloader.pop('batch_size') == 4
    assert cfg.to_dict() == base.to_dict()


def test_files_are_where_mmseg_documents_them(label_set):
    host = {'voc20': 'pascal_voc12_aug', 'context59': 'pascal_context_59', 'context60': 'pascal_context',
            'ade20k': 'ade20k', 'coco_stuff': 'coco-stuff164k'}[label_set]
    theirs = Config.fromfile(Path(mmseg.__file__).parent / f'.mim/configs/_base_/datasets/{host}.py')
    ours = Config.fromfile(DATA_CONFIGS / f'{label_set}_zs.py')
    for loader in LOADERS:
        assert places(ours[loader]) == places(theirs[loader])
    assert ours.crop_size == theirs.crop_size
    assert ours.test_pipeline[1] == theirs.test_pipeline[1]
    assert ours.train_pipeline[3].pop('type') == 'CountingRandomCrop' and theirs.train_pipeline[3].pop('type')
    assert ours.train_pipeline[2:6] == theirs.train_pipeline[2:6]


def places(loader):
    """Return data root, prefixes and split file of each part of a loader."""
    return [(part.data_root.rstrip('/'), part.data_prefix, part.get('ann_file'))
            for part in parts(loader)]


def test_stripes_reach_every_class():
    values = {value for index in range(30) for value in stripes(index, 1, 150, 0)}
    assert values == set(range(151))

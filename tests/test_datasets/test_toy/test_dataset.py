"""The toy world as a data set of mmseg."""
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_mvp.datasets.toy.dataset import ToySceneDataset
from mmseg_mvp.datasets.toy.scenes import CLASSES, IGNORE, draw_scene
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import UNSEEN, class_names, load_vocabulary

pytestmark = pytest.mark.usefixtures('mmseg_scope')
PIPELINE = [dict(type='DrawToyScene')]


def test_vocabulary_and_split_agree_with_the_data_set():
    assert class_names('toy') == list(ToySceneDataset.METAINFO['classes'])
    assert list(load_vocabulary('toy')) == list(CLASSES)
    assert len(class_names('toy:seen')) == 15 and set(UNSEEN['toy']) < set(CLASSES)
    palette = ToySceneDataset.METAINFO['palette']
    assert len({tuple(colour) for colour in palette}) == 20


def test_entry_is_as_mmcv_would_load_it():
    dataset = ToySceneDataset(num_images=20, split='test', pipeline=PIPELINE)
    results, scene = dataset[12], draw_scene(12, 'test')
    assert len(dataset) == 20 and results['img_path'] == 'toy_test_000012.png'
    assert (results['img'][..., ::-1] == scene.image).all() and results['img'].dtype == np.uint8
    assert (results['gt_seg_map'] == scene.labels).all() and results['seg_fields'] == ['gt_seg_map']
    assert results['img_shape'] == results['ori_shape'] == (64, 64)


def test_seen_classes_are_renumbered_and_unseen_become_ignored():
    seen = class_names('toy:seen')
    dataset = ToySceneDataset(num_images=60, metainfo=dict(classes=seen), pipeline=PIPELINE)
    assert list(dataset.metainfo['classes']) == seen
    found = set()
    for index in range(60):
        labels, mapped = draw_scene(index, 'train').labels, dataset[index]['gt_seg_map']
        for label in np.unique(labels):
            name = None if label == IGNORE else CLASSES[label]
            expected = seen.index(name) if name in seen else IGNORE
            assert (mapped[labels == label] == expected).all()
            found.add(name)
    assert found & set(UNSEEN['toy']) and found >= set(seen)


@pytest.mark.parametrize('wrong', [dict(num_images=0), dict(num_images=4, split='holdout'), dict(num_images=4, size=0)])
def test_wrong_arguments_are_user_errors(wrong):
    with pytest.raises(UserError):
        ToySceneDataset(**wrong)


def test_config_builds_and_packs():
    cfg = Config.fromfile(Path(__file__).parents[3] / 'configs' / '_base_' / 'datasets' / 'toy_zs.py')
    train = DATASETS.build(cfg.train_dataloader.dataset)
    test = DATASETS.build(cfg.test_dataloader.dataset)
    assert list(train.metainfo['classes']) == class_names('toy:seen') and len(test) == 500
    sample = train[0]
    assert tuple(sample['inputs'].shape) == (3, 64, 64)
    assert sample['data_samples'].gt_sem_seg.shape == (64, 64)

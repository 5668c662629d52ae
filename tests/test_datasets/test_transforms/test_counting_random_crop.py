"""Crops equal to those of mmseg, and hidden classes as one category."""
import math

import numpy as np
import pytest
from fixtures.refusals import refused
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from mmseg_mvp.datasets import CountingRandomCrop
from mmseg_mvp.labels import HIDDEN, UNKNOWN


@pytest.mark.parametrize('ratio', [0.4, 0.75, 1.])
@pytest.mark.parametrize('size', [(40, 60), (16, 16), (200, 24)])
def test_crops_are_those_of_mmseg(ratio, size):
    rng = np.random.default_rng(0)
    for seed in range(40):
        # Blocks of few classes cause many repeated draws. Some images have one class or none.
        blocks = rng.choice([0, 1, 255], p=[0.5, 0.2, 0.3] if seed % 4 else [0, 1, 0], size=(4, 5)).astype(np.uint8)
        labels = np.kron(blocks, np.ones((20, 20), np.uint8))
        image = rng.integers(0, 255, (*labels.shape, 3), dtype=np.uint8)
        found = []
        for crop in (RandomCrop(size, ratio), CountingRandomCrop(size, ratio)):
            np.random.seed(seed)
            found.append(crop.transform(dict(img=image, gt_seg_map=labels, seg_fields=['gt_seg_map'])))
            found[-1]['drawn'] = np.random.rand()
        one, other = found
        assert np.array_equal(one['img'], other['img']) and np.array_equal(one['gt_seg_map'], other['gt_seg_map'])
        assert one['drawn'] == other['drawn'] and one['img_shape'] == other['img_shape']


def bbox(crop, labels, seed):
    np.random.seed(seed)
    return crop.crop_bbox(dict(img=np.zeros((*labels.shape, 3), np.uint8), gt_seg_map=labels))


def test_hidden_classes_are_one_category_to_the_crop():
    """The crop is equal to that of mmseg with one ordinary label for all hidden pixels."""
    rng = np.random.default_rng(0)
    chosen, told_apart = [], []
    for seed in range(60):
        blocks = rng.choice([3, 255, *(HIDDEN + np.array([0, 1, 2, 255, UNKNOWN]))], size=(4, 5),
                            p=[0.1, 0.3, *[0.12] * 5])
        labels = np.kron(blocks, np.ones((20, 20), int)).astype(np.uint16)
        expected = bbox(RandomCrop((40, 40), 0.75), np.where(labels >= HIDDEN, 7, labels).astype(np.uint8), seed)
        assert bbox(CountingRandomCrop((40, 40), 0.75), labels, seed) == expected
        chosen.append(expected)
        told_apart.append(bbox(RandomCrop((40, 40), 0.75), labels, seed))
    assert sum(one != other for one, other in zip(chosen, told_apart)) > 10, 'these maps cannot detect a leak'


@pytest.mark.parametrize('settings', [
    *[dict(crop_size=value) for value in (0, -1, (0, 4), 'a', None, (3, 4, 5), (1.5, 2))],
    *[dict(crop_size=4, cat_max_ratio=value) for value in ('a', None, math.nan, -1, 0, 2)],
    *[dict(crop_size=4, ignore_index=value) for value in ('x', None, 1.5)]])
def test_invalid_settings(settings):
    refused(lambda: TRANSFORMS.build(dict(settings, type='CountingRandomCrop')))


@pytest.mark.parametrize('ignored, dtype', [(255, np.uint8), (65535, np.uint16), (-1, np.int32), (0, np.int64)])
def test_ignored_pixels_of_any_value_do_not_count(ignored, dtype):
    crop = CountingRandomCrop(4, cat_max_ratio=0.75, ignore_index=ignored)
    labels = np.full((4, 4), ignored, dtype)
    labels[0, :2], labels[1, :2] = 3, 300 if dtype != np.uint8 else 5
    assert crop._is_varied(labels), 'two classes of two pixels each'
    labels[1, :2] = 3
    assert not crop._is_varied(labels), 'one class'

"""Pictures, images, transforms and metrics: wrong arrays, wrong settings, wrong files."""
import math

import numpy as np
import pytest
import torch
from fixtures.refusals import refused
from mmseg.registry import METRICS, TRANSFORMS

from mmseg_mvp.apis.images import allow_pixels, list_images, read_image
from mmseg_mvp.visualization import distinct_colours, draw_overlay, draw_presence, draw_views

NAN, INF = math.nan, math.inf
IMAGE, LABELS = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.int64)
MAPS = np.ones((3, 4, 5))
MASK = torch.zeros(1, 4, 4, dtype=torch.int64)
OVERLAYS = [
    (IMAGE / 2, LABELS, ['a']), (IMAGE.astype(np.uint16), LABELS, ['a']), (IMAGE[..., 0], LABELS, ['a']),
    (IMAGE[:0], LABELS[:0], ['a']), (None, None, ['a']), (IMAGE, LABELS / 2, ['a']), (IMAGE, LABELS * NAN, ['a']),
    (IMAGE, LABELS, None), (IMAGE, LABELS, [3]), (IMAGE, LABELS, 'ab'), (IMAGE, LABELS, ['a'], [(300, 0, 0)]),
    (IMAGE, LABELS, ['a'], [(-1, 0, 0)]), (IMAGE, LABELS, ['a'], [(NAN, 0, 0)]), (IMAGE, LABELS, ['a'], [3]),
    (IMAGE, LABELS, ['a'], ['red']), (IMAGE, LABELS, ['a'], [(0, 0)]), (IMAGE, LABELS, ['a'], None, 2),
    (IMAGE, LABELS, ['a'], None, -.1), (IMAGE, LABELS, ['a'], None, NAN), (IMAGE, LABELS, ['a'], None, 'x')]
VIEWS = [(IMAGE, MAPS[0], 'a'), (IMAGE, MAPS[:0], 'a'), (IMAGE, MAPS[:, :0], 'a'), (IMAGE, MAPS * NAN, 'a'),
         (IMAGE, MAPS * INF, 'a'), (IMAGE, 'abc', 'a'), (IMAGE, None, 'a'), (None, MAPS, 'a'), (IMAGE[:0], MAPS, 'a'),
         (IMAGE[..., 0], MAPS, 'a'), (IMAGE * 2.5, MAPS, 'a'), (IMAGE, MAPS, 'a', ['one'])]
PRESENCES = [(['a'], [NAN]), (['a'], [INF]), (['a'], [2]), (['a'], [-1]), (['a'], ['x']), (['a'], None), (None, [1]),
             ([], []), (['a'], [.5, .5]), (['a'], [.5], 0), (['a'], [.5], 'x'), (['a'], [.5], 1.5)]
TRANSFORM_SETTINGS = [
    *[dict(type='LoadCheckedAnnotations', num_classes=value) for value in ('a', None, 0, -1, 1.5, 257)],
    *[dict(type='CountingRandomCrop', crop_size=value) for value in (0, -1, (0, 4), 'a', None, (3, 4, 5), (1.5, 2))],
    *[dict(type='CountingRandomCrop', crop_size=4, cat_max_ratio=value) for value in ('a', None, NAN, -1, 0, 2)],
    *[dict(type='CountingRandomCrop', crop_size=4, ignore_index=value) for value in ('x', None, -1, 256)],
    *[dict(type='PackVocabulary', classes=value) for value in (3, [], '', [None])],
    dict(type='HideClasses', classes=None, unseen='voc20:unseen'), dict(type='HideClasses', classes='voc20', unseen=3),
    dict(type='HideClasses', classes='voc20', unseen=['dragon'])]


@pytest.mark.parametrize('call, arguments', [
    *[(draw_overlay, row) for row in OVERLAYS], *[(draw_views, row) for row in VIEWS],
    *[(draw_presence, row) for row in PRESENCES],
    *[(distinct_colours, [value]) for value in (-1, 1.5, 'a', None, NAN, True)],
    *[(allow_pixels, [value]) for value in (0, -1, 1.5, 'a', None, NAN, True)],
    *[(list_images, [value]) for value in ('nowhere', None, 3, 'x' * 5000, '\0', __file__)],
    *[(read_image, [value]) for value in (
        None, 3, b'x.png', [], '', '\0', '\ud800.png', 'x' * 5000 + '.png', '.', LABELS, IMAGE / 2, IMAGE[:0],
        IMAGE[None], IMAGE[..., :2], IMAGE > 0, np.array('a'), torch.zeros(3, 4, 3))]])
def test_refused(call, arguments):
    refused(lambda: call(*arguments))


@pytest.mark.parametrize('labels', [LABELS - 5, LABELS + 2**32, LABELS.astype(np.uint64) + 2**63])
def test_labels_of_no_class_have_no_colour(labels):
    """Numbers of more than 32 bits must not become classes."""
    picture = draw_overlay(IMAGE, labels, ['a'])
    assert not picture.any()


@pytest.mark.parametrize('settings', TRANSFORM_SETTINGS)
def test_transforms_built_with(settings):
    refused(lambda: TRANSFORMS.build(settings))


@pytest.mark.parametrize('mask', [LABELS / 2, LABELS * NAN, 'x', LABELS + 77, LABELS - 1, LABELS + 2**32,
                                  LABELS - 2**32, LABELS.astype(np.uint64) + 2**63])
def test_hidden_masks(mask):
    hide = TRANSFORMS.build(dict(type='HideClasses', classes='voc20', unseen='voc20:unseen'))
    refused(lambda: hide(dict(gt_seg_map=mask, img_path='x.jpg')), 'x.jpg')


@pytest.mark.parametrize('kind, settings', [
    ('ZeroShotIoUMetric', dict(unseen=3)), ('ZeroShotIoUMetric', dict(unseen=[3])),
    ('ZeroShotIoUMetric', dict(unseen=b'x')), ('ZeroShotIoUMetric', dict(unseen='nowhere')),
    ('ZeroShotIoUMetric', dict(ignore_index='a')), ('FewShotIoUMetric', dict(ignore_index=None))])
def test_metrics_built_with(kind, settings):
    refused(lambda: METRICS.build(dict(settings, type=kind)))


@pytest.mark.parametrize('meta', [None, {}, dict(classes=None), dict(classes='ab'), dict(classes=['a', 'c'])])
def test_metrics_of_a_data_set_without_classes(meta):
    metric = METRICS.build(dict(type='ZeroShotIoUMetric', unseen=['b']))
    refused(lambda: setattr(metric, 'dataset_meta', meta), 'classes')


@pytest.mark.parametrize('kind', ['ZeroShotIoUMetric', 'FewShotIoUMetric'])
@pytest.mark.parametrize('prediction, truth', [
    (MASK, MASK[:, :3]), (MASK[:, :, :1], MASK), (MASK / 2, MASK), (MASK * NAN, MASK),
    (MASK + 2, MASK), (MASK - 1, MASK), (MASK, MASK + 2), (MASK, MASK - 1)])
def test_metrics_of_label_maps(kind, prediction, truth):
    metric = METRICS.build(dict(type=kind))
    metric.dataset_meta = dict(classes=('others', 'cat'))
    sample = dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth), img_path='x.jpg',
                  vocabulary=dict(others=('others',), cat=('cat',)))
    refused(lambda: metric.process({}, [sample]))

"""Refused settings and label maps of all metrics."""
import math

import pytest
import torch
from fixtures.refusals import refused
from mmseg.registry import METRICS

NAN, INF = math.nan, math.inf


MASK = torch.zeros(1, 4, 4, dtype=torch.int64)


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

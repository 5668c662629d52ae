"""Zero-shot metric compared with manual results and a brute-force confusion matrix."""
import math

import numpy as np
import pytest
import torch
from fixtures import metric_rank
from fixtures.refusals import refused
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.evaluation import ZeroShotIoUMetric


def evaluate(pairs, classes, unseen=None, **kwargs):
    metric = ZeroShotIoUMetric(unseen=unseen, **kwargs)
    metric.dataset_meta = dict(classes=classes)
    for prediction, label in pairs:
        metric.process({}, [dict(pred_sem_seg=dict(data=torch.as_tensor(prediction)[None]),
                                 gt_sem_seg=dict(data=torch.as_tensor(label)[None]), img_path='x/img.jpg')])
    return metric.evaluate(len(pairs))


def brute_force(pairs, num_classes, unseen):
    """Compute the metrics pixel by pixel, from a confusion matrix in Python."""
    confusion = [[0] * num_classes for _ in range(num_classes)]
    for prediction, label in pairs:
        for p, t in zip(np.asarray(prediction).ravel().tolist(), np.asarray(label).ravel().tolist()):
            if t != 255:
                confusion[t][p] += 1
    ious = {}
    for c in range(num_classes):
        union = sum(confusion[c]) + sum(row[c] for row in confusion) - confusion[c][c]
        if union:
            ious[c] = 100 * confusion[c][c] / union

    def mean(chosen):
        values = [ious[c] for c in chosen if c in ious]
        return sum(values) / len(values)

    def accuracy(chosen):
        return 100 * sum(confusion[c][c] for c in chosen) / sum(sum(confusion[c]) for c in chosen)

    every, seen = range(num_classes), [c for c in range(num_classes) if c not in unseen]
    s, u = mean(seen), mean(unseen)
    return {'mIoU': mean(every), 'mIoU_S': s, 'mIoU_U': u, 'hIoU': 2 * s * u / (s + u),
            'pAcc': accuracy(every), 'pAcc_S': accuracy(seen), 'pAcc_U': accuracy(unseen)}


def random_pairs(count, num_classes, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        label = rng.integers(0, num_classes, (13, 17))
        prediction = np.where(rng.random(label.shape) < 0.7, label, rng.integers(0, num_classes, label.shape))
        yield prediction, np.where(rng.random(label.shape) < 0.1, 255, label).astype(np.uint8)


def test_by_hand():
    # a: 2 of 4 + 2 - 2; b: 2 of 3 + 4 - 2; c: 1 of 1 + 2 - 1; ignored pixels have any prediction.
    label = [[0, 0, 0, 0], [1, 1, 1, 2], [255, 255, 255, 255]]
    prediction = [[0, 0, 1, 1], [1, 1, 2, 2], [1, 0, 2, 1]]
    metrics = evaluate([(prediction, label)], ['a', 'b', 'c'], ['c'])
    seen = (100 * 2 / 4 + 100 * 2 / 5) / 2
    assert seen == 45
    expected = {'mIoU': (50 + 40 + 50) / 3, 'mIoU_S': 45., 'mIoU_U': 50., 'hIoU': 2 * 45 * 50 / 95,
                'pAcc': 100 * 5 / 8, 'pAcc_S': 100 * 4 / 7, 'pAcc_U': 100.}
    assert metrics == pytest.approx(expected, abs=1e-12) and list(metrics) == list(expected)


def test_the_table_of_classes_is_kept():
    metric = ZeroShotIoUMetric(unseen=['c'])
    metric.dataset_meta = dict(classes=['a', 'b', 'c'])
    assert metric.classes == []
    for label, prediction in (([[0, 0, 0, 0]], [[0, 0, 1, 1]]), ([[1, 1, 1, 255]], [[1, 1, 0, 2]])):
        metric.process({}, [dict(pred_sem_seg=dict(data=torch.as_tensor(prediction)[None]),
                                 gt_sem_seg=dict(data=torch.as_tensor(label)[None]), img_path='x/img.jpg')])
    metric.evaluate(2)
    a, b, c = metric.classes
    assert a == dict(name='a', split='seen', iou=40., acc=50.)
    assert b == dict(name='b', split='seen', iou=40., acc=pytest.approx(200 / 3, abs=1e-12))
    assert (c['name'], c['split']) == ('c', 'unseen') and math.isnan(c['iou']) and math.isnan(c['acc'])


def test_against_brute_force():
    pairs = list(random_pairs(5, 7))
    metrics = evaluate(pairs, list('abcdefg'), ['b', 'g'])
    assert metrics == pytest.approx(brute_force(pairs, 7, [1, 6]), abs=1e-9)


def test_means_omit_absent_classes_and_include_predicted_ones():
    label, prediction = [[0, 0, 1, 1]], [[0, 0, 1, 3]]
    metrics = evaluate([(prediction, label)], list('abcde'), ['d', 'e'])  # c and e are absent
    assert metrics['mIoU_S'] == pytest.approx((100 + 50) / 2)
    assert metrics['mIoU_U'] == 0 and metrics['hIoU'] == 0
    assert metrics['mIoU'] == pytest.approx((100 + 50 + 0) / 3)
    assert math.isnan(metrics['pAcc_U'])


def test_no_correct_pixel_gives_zero():
    metrics = evaluate([([[1, 0]], [[0, 1]])], ['a', 'b'], ['b'])
    assert (metrics['mIoU_S'], metrics['mIoU_U'], metrics['hIoU']) == (0, 0, 0)


def test_without_unseen_classes_as_mmseg():
    pairs = list(random_pairs(3, 5))
    metrics = evaluate(pairs, list('abcde'))
    assert set(metrics) == {'mIoU', 'pAcc'}
    host = IoUMetric()
    host.dataset_meta = dict(classes=list('abcde'))
    for prediction, label in pairs:
        host.process({}, [dict(pred_sem_seg=dict(data=torch.as_tensor(prediction)[None]),
                               gt_sem_seg=dict(data=torch.as_tensor(label)[None]))])
    theirs = host.evaluate(len(pairs))
    assert round(metrics['mIoU'], 2) == pytest.approx(theirs['mIoU'], abs=1e-4)
    assert round(metrics['pAcc'], 2) == pytest.approx(theirs['aAcc'], abs=1e-4)


def test_areas_are_exact_beyond_float32():
    metric = ZeroShotIoUMetric(unseen=['b'])
    metric.dataset_meta = dict(classes=['a', 'b'])
    huge = 2 ** 24
    # float32 rounds 2^24 + 1 to 2^24 and would lose the only error.
    areas = [torch.tensor([[huge, 8], [huge, 8], [huge, 8]]), torch.tensor([[0, 0], [0, 1], [1, 0]])]
    metrics = metric.compute_metrics(areas)
    assert metrics['mIoU_S'] == 100 * huge / (huge + 1) < 100
    maps = torch.zeros(2, 2, dtype=torch.uint8)
    assert metric.intersect_and_union(maps, maps, 2, 255).dtype == torch.int64


@pytest.mark.slow
def test_one_image_larger_than_float32_counts():
    label = torch.zeros(4097, 4097, dtype=torch.uint8)
    areas = ZeroShotIoUMetric.intersect_and_union(label, label, 2, 255)
    assert areas.tolist() == [[4097 ** 2, 0]] * 3 and 4097 ** 2 > 2 ** 24


def test_tables_mark_the_split(monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log', lambda level, text, *args: lines.append(text))
    evaluate([([[0, 1, 2]], [[0, 1, 1]])], ['cat', 'dog', 'cow'], ['cow'])
    text = '\n'.join(lines)
    assert 'all 3 classes of the data set, 2 seen and 1 unseen (cow)' in text
    assert [row.split() for row in text.splitlines() if '| ' in row and 'cow' in row] == [
        ['|', 'cow', '|', 'unseen', '|', '0.00', '|', 'nan', '|']]
    assert [row.split()[3] for row in text.splitlines() if 'cat' in row or 'dog' in row] == ['seen', 'seen']
    assert all(title in text for title in ('mIoU(S)', 'mIoU(U)', 'hIoU', 'pAcc(S)', 'pAcc(U)'))
    assert '50.00' in text  # dog: 1 of 2


def test_keys_serve_save_best():
    hook = CheckpointHook(save_best=['mIoU', 'mIoU_S', 'pAcc', 'pAcc_S'])
    assert hook.rules == ['greater'] * 4
    CheckpointHook(save_best='hIoU', rule='greater')  # mmengine has no default rule for this key


def test_unseen_by_split_and_by_mistake():
    metric = ZeroShotIoUMetric(unseen='voc20:unseen')
    with pytest.raises(UserError, match="'pottedplant', 'train'.*not among the 3 classes"):
        metric.dataset_meta = dict(classes=['sheep', 'sofa', 'tvmonitor'])
    with pytest.raises(UserError, match="'mouze'"):
        evaluate([], ['mouse'], ['mouze'])


@pytest.mark.parametrize('prediction, label, words', [
    ([[5]], [[0]], 'prediction has the label 5.* 3 classes.*test_classes'),
    ([[0]], [[3]], 'ground truth has the label 3.* 3 classes'),
])
def test_labels_outside_the_classes(prediction, label, words):
    with pytest.raises(UserError, match=words):
        evaluate([(prediction, label)], ['a', 'b', 'c'])


def test_predictions_can_be_saved_without_ground_truth(tmp_path):
    metrics = evaluate([([[2, 1], [0, 2]], [[0, 0], [0, 0]])], ['a', 'b', 'c'], ['c'], output_dir=str(tmp_path),
                       format_only=True)
    assert metrics == {}
    assert np.array(Image.open(tmp_path / 'img.png')).tolist() == [[2, 1], [0, 2]]


@pytest.mark.slow
def test_two_processes_count_every_sample_once(tmp_path):
    first, second = metric_rank.run_two_ranks(tmp_path)
    assert first['processed'] + second['processed'] == metric_rank.SAMPLES + 1  # one sample is repeated
    pairs = [metric_rank.sample_arrays(index) for index in range(metric_rank.SAMPLES)]
    expected = brute_force(pairs, 4, [2, 3])
    assert first['metrics'] == second['metrics'] == pytest.approx(expected, abs=1e-9)
    twice = brute_force(pairs + pairs[:1], 4, [2, 3])
    assert abs(twice['hIoU'] - expected['hIoU']) > 1e-3  # a repeated sample would change the result


@pytest.mark.parametrize('settings', [dict(unseen=3), dict(unseen=[3]), dict(unseen=b'x'), dict(unseen='nowhere'),
                                      dict(ignore_index='a')])
def test_invalid_settings(settings):
    refused(lambda: METRICS.build(dict(settings, type='ZeroShotIoUMetric')))


@pytest.mark.parametrize('meta', [None, {}, dict(classes=None), dict(classes='ab'), dict(classes=['a', 'c'])])
def test_metainfo_without_classes(meta):
    metric = ZeroShotIoUMetric(unseen=['b'])
    refused(lambda: setattr(metric, 'dataset_meta', meta), 'classes')


MASK = torch.zeros(1, 4, 4, dtype=torch.int64)


@pytest.mark.parametrize('prediction, truth', [
    (MASK, MASK[:, :3]), (MASK[:, :, :1], MASK), (MASK / 2, MASK), (MASK * math.nan, MASK),
    (MASK + 2, MASK), (MASK - 1, MASK), (MASK, MASK + 2), (MASK, MASK - 1)])
def test_invalid_label_maps(prediction, truth):
    metric = ZeroShotIoUMetric()
    metric.dataset_meta = dict(classes=('others', 'cat'))
    sample = dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth), img_path='x.jpg',
                  vocabulary=dict(others=('others',), cat=('cat',)))
    refused(lambda: metric.process({}, [sample]))


@pytest.mark.parametrize('ignored', [65535, -1, 0, 2**31 - 1])
def test_any_ignored_value(ignored):
    label = np.array([[300, 300, ignored, 5]])
    metrics = evaluate([(np.array([[300, 5, 7, 5]]), label)], [f'c{i}' for i in range(301)], ignore_index=ignored)
    assert metrics['pAcc'] == pytest.approx(100 * 2 / 3) and metrics['mIoU'] == pytest.approx(50)


@pytest.mark.parametrize('count, reduced, mode', [(255, False, 'L'), (256, False, 'L'), (257, False, 'I'),
                                                  (255, True, 'L'), (256, True, 'I'), (847, True, 'I')])
@pytest.mark.parametrize('shape', [(1, 3), (3, 1), (2, 3)])
def test_label_maps_are_written_as_wide_as_needed(count, reduced, mode, shape, tmp_path):
    metric = ZeroShotIoUMetric(output_dir=str(tmp_path), format_only=True)
    metric.dataset_meta = dict(classes=[f'c{i}' for i in range(count)])
    labels = (count - 1 - np.arange(np.prod(shape))).reshape(shape)
    metric.process({}, [dict(pred_sem_seg=dict(data=torch.as_tensor(labels)[None]), img_path='x/img.jpg',
                             reduce_zero_label=reduced)])
    with Image.open(tmp_path / 'img.png') as picture:  # of 16 bits, 'I' before Pillow 10.4, then 'I;16'
        assert picture.mode.partition(';')[0] == mode and np.asarray(picture).tolist() == (labels + reduced).tolist()


def warnings_of(pairs, classes, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log', lambda level, text, *args: lines.append((level, text)))
    evaluate(pairs, classes)
    return [text for level, text in lines if level == 30 and 'prefix' not in text]


def test_classes_without_labelled_pixels_and_nan_are_told(monkeypatch):
    gaps, = warnings_of([([[0, 1]], [[0, 1]])], ['a', 'b', 'cow', 'dog'], monkeypatch)
    assert '2 of 4 classes have no labelled pixel' in gaps and 'cow, dog.' in gaps and 'nan' in gaps
    assert not warnings_of([([[0, 1]], [[0, 1]])], ['a', 'b'], monkeypatch)


def test_ground_truth_of_one_class_is_told(monkeypatch):
    """The result is 100.00 then, which says nothing: masks of 0 and 255."""
    gaps, single = warnings_of([([[0, 0]], [[0, 255]])], ['ground', 'cow'], monkeypatch)
    assert 'single class' in single and '0 and 255' in single and 'cow' in gaps
    assert not warnings_of([([[0, 0]], [[0, 255]])], ['ground'], monkeypatch)


def test_nothing_to_measure_is_refused():
    refused(lambda: evaluate([([[0, 1]], [[255, 255]])] * 3, ['a', 'b']), '3 ground truth masks', '255', 'store')


@pytest.mark.parametrize('dtype, labels', [(torch.uint8, [[300, 0], [256, 255]]), (torch.int16, [[65536, 0], [0, 0]])])
def test_labels_do_not_wrap_to_the_type_of_the_prediction(dtype, labels):
    if max(map(max, labels)) == 300:
        metrics = evaluate([(torch.zeros(2, 2, dtype=dtype), labels)], [str(number) for number in range(301)],
                           ignore_index=65535)
        assert metrics['pAcc'] == 25
    else:
        with pytest.raises(UserError, match='ground truth has the label 65536'):
            evaluate([(torch.zeros(2, 2, dtype=dtype), labels)], ['a', 'b'])


def test_no_image():
    with pytest.raises(UserError, match='None of the 0 ground truth masks'):
        evaluate([], ['a', 'b'])


def test_two_images_of_one_name(tmp_path):
    metric = ZeroShotIoUMetric(output_dir=str(tmp_path), format_only=True)
    metric.dataset_meta = dict(classes=['a', 'b'])
    samples = [dict(pred_sem_seg=dict(data=torch.full((1, 1, 1), index)), img_path=f'{index}/000.jpg')
               for index in (0, 1)]
    metric.process({}, samples[:1] * 2)
    with pytest.raises(UserError, match="'0/000.jpg' and '1/000.jpg' have one label map, .*000.png.*--out"):
        metric.process({}, samples[1:])
    assert np.asarray(Image.open(tmp_path / '000.png')).tolist() == [[0]]

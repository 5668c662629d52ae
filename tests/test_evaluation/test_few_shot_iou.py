"""Few-shot metric compared with manual results and loops over pixels."""
import math

import numpy as np
import pytest
import torch
from fixtures import metric_rank
from fixtures.refusals import refused
from mmengine.logging import MMLogger
from mmseg.registry import METRICS
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.evaluation import FewShotIoUMetric

CLASSES = ['cat', 'dog', 'potted plant']


def sample(name, prediction, label, path='x/img.jpg'):
    return dict(pred_sem_seg=dict(data=torch.as_tensor(prediction)[None]), img_path=path,
                gt_sem_seg=dict(data=torch.as_tensor(label)[None]), vocabulary={'others': ('others',), name: (name,)})


def evaluate(episodes, size=None, classes=CLASSES, **kwargs):
    metric = FewShotIoUMetric(**kwargs)
    metric.dataset_meta = dict(classes=('others', 'object'), episode_classes=classes)
    for episode in episodes:
        metric.process({}, [sample(*episode)])
    return metric.evaluate(size or len(episodes))


def brute_force(episodes):
    """Compute the metrics pixel by pixel, from intersection and union of both labels per class."""
    counts = {}
    for name, prediction, label in episodes:
        count = counts.setdefault(name, [[0, 0], [0, 0]])
        for p, t in zip(np.ravel(prediction).tolist(), np.ravel(label).tolist()):
            for value in (0, 1):
                if t != 255 and value in (p, t):
                    count[value][0] += p == t
                    count[value][1] += 1
    ious = [count[1][0] / count[1][1] for count in counts.values()]
    both = [sum(count[value][0] for count in counts.values()) / sum(count[value][1] for count in counts.values())
            for value in (0, 1)]
    return {'mIoU': 100 * sum(ious) / len(ious), 'FBIoU': 100 * sum(both) / 2}


def random_episodes(count=30, seed=0):
    rng = np.random.default_rng(seed)
    for index in range(count):
        label = rng.random((9, 8 + index)) < 0.3 + 0.1 * (index % 3)
        prediction = np.where(rng.random(label.shape) < 0.8, label, ~label).astype(np.uint8)
        yield CLASSES[index % 3], prediction, np.where(rng.random(label.shape) < 0.1, 255, label).astype(np.uint8)


def test_the_table_of_classes_is_kept():
    metric = FewShotIoUMetric()
    metric.dataset_meta = dict(classes=('others', 'object'), episode_classes=CLASSES)
    assert metric.classes == []
    for episode in [('cat', [[1, 1, 0]], [[1, 0, 1]]), ('dog', [[1, 0, 1]], [[1, 0, 255]]), ('cat', [[0]], [[0]])]:
        metric.process({}, [sample(*episode)])
    metric.evaluate(3)
    assert metric.classes == [dict(name='cat', samples=2, iou=pytest.approx(100 / 3)),
                              dict(name='dog', samples=1, iou=100.)]


def test_by_hand():
    # cat: 1 of 3 in two images; dog: 1 of 1. Others: cat 2 of 4, dog 1 of 1; pixels with label 255 are ignored.
    episodes = [('cat', [[1, 1, 0, 0]], [[1, 0, 1, 0]]), ('cat', [[0, 1]], [[0, 255]]),
                ('dog', [[1, 0, 1, 0]], [[1, 0, 255, 255]])]
    assert evaluate(episodes) == pytest.approx({'mIoU': 100 * (1 / 3 + 1) / 2, 'FBIoU': 100 * (3 / 5 + 2 / 4) / 2})


def test_against_brute_force():
    episodes = list(random_episodes())
    found = evaluate(episodes)
    assert found == pytest.approx(brute_force(episodes), abs=1e-9) and list(found) == ['mIoU', 'FBIoU']
    single = np.mean([brute_force([episode])['mIoU'] for episode in episodes])
    assert abs(found['mIoU'] - single) > 0.1, 'means over classes and samples must differ'


def test_repeated_samples_count_once():
    episodes = list(random_episodes(7))
    assert evaluate(episodes + episodes[:1], size=7) == pytest.approx(brute_force(episodes), abs=1e-9)


def test_areas_are_exact_beyond_float32():
    metric, huge = FewShotIoUMetric(), 2 ** 24
    metric.dataset_meta = dict(classes=('others', 'object'))
    areas = [('cat', torch.tensor([[8, huge]] * 3)), ('cat', torch.tensor([[0, 0], [1, 0], [0, 1]]))]
    assert metric.compute_metrics(areas)['mIoU'] == 100 * huge / (huge + 1) < 100


def test_the_mean_omits_absent_classes():
    episodes = [('cat', [[0, 0]], [[0, 0]]), ('dog', [[1, 0]], [[1, 1]])]
    assert evaluate(episodes) == pytest.approx({'mIoU': 50, 'FBIoU': 100 * (2 / 3 + 1 / 2) / 2})
    assert evaluate([('cat', [[1, 0]], [[0, 0]]), *episodes[1:]])['mIoU'] == pytest.approx(25)


def test_table(monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'log', lambda level, text, *args: lines.append(text))
    evaluate([('potted plant', [[1, 0]], [[1, 1]]), ('potted plant', [[1, 1]], [[1, 1]]), ('cat', [[0]], [[1]])])
    text = '\n'.join(lines)
    assert '3 samples of 2 classes, none for dog (omitted)' in text
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    assert rows[1:4] == [['cat', '1', '0.00'], ['dog', '0', '-'], ['potted plant', '2', '75.00']]
    assert rows[4:] == [['mIoU', 'FB-IoU'], ['37.50', '30.00']]  # others: 0 of 1; objects: 3 of 5


@pytest.mark.parametrize('vocabulary, words', [
    (None, "'x/img.jpg' is missing.*PackVocabulary"), ({'a': ('a',)}, r"\['a'\]"),
    (dict.fromkeys('abc', ('a',)), 'expects two names')])
def test_samples_of_other_data_sets(vocabulary, words):
    metric = FewShotIoUMetric()
    metric.dataset_meta = dict(classes=('others', 'object'))
    episode = sample('cat', [[0]], [[0]])
    episode['vocabulary'] = vocabulary
    if vocabulary is None:
        del episode['vocabulary']
    with pytest.raises(UserError, match=words):
        metric.process({}, [episode])


@pytest.mark.parametrize('prediction, label, words', [([[2]], [[0]], 'prediction has the label 2'),
                                                      ([[0]], [[3]], 'ground truth has the label 3')])
def test_other_labels(prediction, label, words):
    with pytest.raises(UserError, match=words):
        evaluate([('cat', prediction, label)])


def test_label_maps_of_one_image_for_several_classes(tmp_path):
    truth = [[1, 1], [1, 1]]
    episodes = [('cat', [[1, 0], [0, 1]], truth, 'cat/1.jpg'), ('dog', [[0, 1], [0, 0]], truth, 'dog/1.jpg'),
                ('potted plant', [[1, 1], [1, 0]], truth, 'dog/1.jpg')]
    assert evaluate(episodes, output_dir=str(tmp_path), format_only=True) == {}
    maps = {path.name: np.array(Image.open(path)).tolist() for path in tmp_path.iterdir()}
    assert maps == {'1__cat.png': episodes[0][1], '1__dog.png': episodes[1][1], '1__potted_plant.png': episodes[2][1]}
    assert evaluate(episodes[:1], output_dir=str(tmp_path))['mIoU'] == 50


@pytest.mark.slow
def test_two_processes_count_every_sample_once(tmp_path):
    first, second = metric_rank.run_two_ranks(tmp_path, 'few-shot')
    assert first['processed'] + second['processed'] == metric_rank.SAMPLES + 1  # one sample is repeated
    episodes = [metric_rank.episode_arrays(index) for index in range(metric_rank.SAMPLES)]
    assert first['metrics'] == second['metrics'] == pytest.approx(brute_force(episodes), abs=1e-9)
    assert abs(brute_force(episodes + episodes[:1])['mIoU'] - brute_force(episodes)['mIoU']) > 1e-3


def test_invalid_ignore_index():
    refused(lambda: METRICS.build(dict(type='FewShotIoUMetric', ignore_index=None)))


MASK = torch.zeros(1, 4, 4, dtype=torch.int64)


@pytest.mark.parametrize('prediction, truth', [
    (MASK, MASK[:, :3]), (MASK[:, :, :1], MASK), (MASK / 2, MASK), (MASK * math.nan, MASK),
    (MASK + 2, MASK), (MASK - 1, MASK), (MASK, MASK + 2), (MASK, MASK - 1)])
def test_invalid_label_maps(prediction, truth):
    metric = FewShotIoUMetric()
    metric.dataset_meta = dict(classes=('others', 'cat'))
    sample = dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth), img_path='x.jpg',
                  vocabulary=dict(others=('others',), cat=('cat',)))
    refused(lambda: metric.process({}, [sample]))

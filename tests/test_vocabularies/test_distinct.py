"""Classes that share their first synonym get different names and keep their wordings."""
import pytest
import torch
from fixtures.refusals import refused

from mmseg_mvp.evaluation import ZeroShotIoUMetric
from mmseg_mvp.vocabularies import class_entries, class_names, load_vocabulary


@pytest.mark.parametrize('entries, names', [
    (['crane, bird', 'crane, machine'], ['crane (bird)', 'crane (machine)']),
    (['maillot', 'sky', 'maillot, tank suit'], ['maillot', 'sky', 'maillot (tank suit)']),
    (['bag', 'bag, traveling bag, grip', 'bag, handbag'], ['bag', 'bag (traveling bag)', 'bag (handbag)']),
    (['pipe, pipage, piping', 'pipe, PIPAGE, tube'], ['pipe (piping)', 'pipe (tube)']),
    (['a, b', 'a, b, c', 'a'], ['a', 'a (c)', 'a (2)']),
    (['a, b', 'a, c', 'a, b, c'], ['a', 'a (2)', 'a (3)']),
    (['a, b', 'a, c', 'a (b)'], ['a (b)', 'a (c)', 'a (b) (2)']),
    (['cat', 'cat, kitten'], ['cat', 'cat (kitten)']), (['dog', 'dog = hound'], ['dog', 'dog (hound)']),
])
def test_names(entries, names):
    vocabulary = load_vocabulary(entries)
    assert list(vocabulary) == names
    single = [load_vocabulary([entry]) for entry in entries]
    assert list(vocabulary.values()) == [wordings for one in single for wordings in one.values()]
    assert load_vocabulary(vocabulary) == load_vocabulary(class_entries(vocabulary)) == vocabulary


@pytest.mark.parametrize('entries', [['cat', 'sky', 'cat'], ['crane, bird', 'crane, Bird'], ['a, b', 'a, c', 'a, c'],
                                     ['a, b, c', 'a, c, b']])
def test_equal_classes_are_refused(entries):
    refused(lambda: load_vocabulary(entries), 'more than once', entries[-1].split(',')[0])


def test_a_table_of_ious_tells_them_apart(monkeypatch):
    names = class_names(['crane, bird', 'crane, machine'])
    metric = ZeroShotIoUMetric(unseen=['crane (machine)'])
    metric.dataset_meta = dict(classes=names)
    logged = []
    monkeypatch.setattr('mmseg_mvp.evaluation.zero_shot_iou.print_log', lambda text, *_: logged.append(text))
    areas = metric.intersect_and_union(torch.tensor([[0, 0, 1, 1]]), torch.tensor([[0, 0, 0, 1]]), 2, 255)
    metric.compute_metrics([areas])
    rows = [[cell.strip() for cell in line.split('|')[1:3]] for line in logged[0].splitlines() if 'crane (' in line]
    assert ['crane (bird)', 'seen'] in rows and ['crane (machine)', 'unseen'] in rows

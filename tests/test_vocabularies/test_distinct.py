"""Classes that share their first synonym get different names and keep their wordings."""
import pytest
from fixtures.refusals import refused

from mmseg_mvp.vocabularies import class_entries, load_vocabulary


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

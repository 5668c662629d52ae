"""Class lists of every wrong type, and of any text."""
import numpy as np
import pytest
from fixtures.refusals import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_entries, load_vocabulary, split_names

FEW = settings(derandomize=True, database=None, max_examples=25, deadline=None)
NOT_STRINGS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.lists(st.text()))


@pytest.mark.parametrize('source, word', [
    (None, 'NoneType'), (3, 'int'), (1.5, 'float'), (True, 'bool'), (7j, 'complex'), (object(), 'object'),
    (len, 'builtin_function'), (b'cat, dog', 'bytes'), ({'cat', 'dog'}, 'set'), (frozenset(['cat']), 'frozenset'),
    (['cat', None], 'None'), (['cat', b'dog'], "b'dog'"), ([['cat']], "['cat']"), (np.arange(2), 'int64'),
    ({'a': 3}, '3'), ({'a': None}, 'None'), ({'a': ('b', None)}, 'None'), ({3: ('x',)}, '3'), ({'': ('x',)}, "''"),
    ({' ': ('x',)}, "' '"), ({'a': ()}, "'a'"), ({'a': ['']}, "'a'"), ({'a': 'b, '}, "'a'"),
    ('\0.txt', 'ValueError'), ('a\0, b', 'a\\x00'), ('a\nb, c', 'a\\nb'), ({'a\nb': ('x',)}, 'a\\nb'),
    (['\ud800', 'a'], '\\ud800'), (['a = \ud800'], "'a'"), (['a\u2028b'], '\\u2028'), (['\x1b[2Jcat'], '\\x1b'),
    ('x' * 300 + '.txt', 'OSError'), ('voc20:seen:unseen', 'voc20:seen'), (':seen', "''"), ('VOC20', 'VOC20'),
])
def test_refused(source, word):
    refused(lambda: load_vocabulary(source), word)


@pytest.mark.parametrize('names, unseen, word', [
    (None, ['a'], 'classes'), (['a'], None, 'unseen'), (['a'], 'a', 'str'), ('abc', ['a'], 'str'), (3, 3, 'int'),
    (['a'], ['b'], "['b']"), (['a'], b'a', 'bytes'),
])
def test_splits_are_of_lists(names, unseen, word):
    refused(lambda: split_names(names, unseen), word)


@pytest.mark.parametrize('name', ["it's ", "a' = b", 'b = c', "'q' ", 'a,b', '= b', ' = b', '#', '日本', 'e\u0301',
                                  '\u200b', '🦉', "'", 'x' * 10000])
def test_names_of_a_dict_stay_as_they_are(name):
    vocabulary = {name: ('cat', 'small_cat'), 'other': 'rest, remainder'}
    expected = {name: ('cat', 'small cat'), 'other': ('rest', 'remainder')}
    assert load_vocabulary(vocabulary) == expected == load_vocabulary(load_vocabulary(vocabulary))


@FEW
@given(st.one_of(st.text(), st.lists(st.text(), max_size=4), st.dictionaries(st.text(), st.lists(st.text(), max_size=3),
                                                                         max_size=3)))
def test_any_text_reads_as_itself_or_is_refused(source):
    try:
        vocabulary = load_vocabulary(source)
    except UserError:
        return
    assert load_vocabulary(vocabulary) == vocabulary and all(name.strip() for name in vocabulary)
    assert all(wording and wording == ' '.join(wording.split()) for group in vocabulary.values() for wording in group)


@FEW
@given(st.dictionaries(st.text(' \'=,ab', min_size=1, max_size=6), st.just(('x',)), min_size=1, max_size=2))
def test_entries_read_back_or_are_refused(vocabulary):
    try:
        entries = class_entries(vocabulary)
    except UserError:
        return
    assert load_vocabulary(entries) == vocabulary


@FEW
@given(st.lists(NOT_STRINGS, min_size=1, max_size=3))
def test_entries_that_are_no_strings(entries):
    refused(lambda: load_vocabulary(entries), 'given as a string')

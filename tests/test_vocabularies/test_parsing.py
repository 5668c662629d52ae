"""Valid and invalid vocabularies."""
import os

import numpy as np
import pytest
from fixtures.refusals import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_entries, class_names, label_sets, load_vocabulary


def test_wordings_names_and_synonyms():
    vocabulary = load_vocabulary(['cat', 'puppy, young dog', 'wall-concrete = concrete wall', "'bed ' = bed, berth",
                                  'fire_truck', 'a=b'])
    assert vocabulary == {'cat': ('cat',), 'puppy': ('puppy', 'young dog'), 'wall-concrete': ('concrete wall',),
                          'bed ': ('bed', 'berth'), 'fire_truck': ('fire truck',), 'a=b': ('a=b',)}
    assert class_names(list(vocabulary)) == list(vocabulary)


def test_file_with_comments_and_blank_lines(tmp_path):
    path = tmp_path / 'farm.txt'
    path.write_text('\ufeff# animals\n\ncow, cattle  # two wordings\n   \npig\n', encoding='utf-8')
    expected = {'cow': ('cow', 'cattle'), 'pig': ('pig',)}
    assert load_vocabulary(path) == load_vocabulary(str(path)) == expected


def test_typed_string_has_a_class_between_commas():
    assert load_vocabulary(' red house,tree , other,') == load_vocabulary(['red house', 'tree', 'other'])
    assert load_vocabulary('wall = concrete wall, sky') == {'wall': ('concrete wall',), 'sky': ('sky',)}


def test_vocabulary_reads_as_itself():
    vocabulary = {'wall-concrete': ('concrete wall',), 'bed ': ('bed', 'berth'), 'cat': ('cat', 'kitten')}
    assert load_vocabulary(vocabulary) == vocabulary
    assert list(load_vocabulary(vocabulary)) == list(vocabulary)


@pytest.mark.parametrize('label_set', label_sets())
def test_entries_read_as_the_vocabulary_again(label_set):
    entries = class_entries(label_set)
    assert load_vocabulary(entries) == load_vocabulary(label_set)
    for entry, (name, wordings) in zip(entries, load_vocabulary(label_set).items(), strict=True):
        assert load_vocabulary([entry]) == {name: wordings}


def test_entries_are_what_a_user_would_write():
    entries = ['cat', 'puppy = puppy, young dog', "'bed ' = bed", 'fire_truck = fire truck', "'a = b' = c"]
    assert class_entries(entries) == entries and class_entries(['cow, cattle']) == ['cow = cow, cattle']


def test_spec_sides_are_the_whole():
    seen, unseen = class_names('voc20:seen'), class_names('voc20:unseen')
    assert len(seen) == 15 and unseen == ['pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor']
    assert seen + unseen == class_names('voc20')
    assert load_vocabulary('voc20:unseen')['tvmonitor'] == ('tv monitor',)


@pytest.mark.parametrize('source, words', [
    ('voc22', ['voc22', 'ade20k, ade20k_847, ade20k_lseg, cityscapes, coco80, coco_object, coco_stuff', 'voc20']),
    ('voc20:sen', ['voc20:sen', 'voc20:seen', 'voc20:unseen']),
    ('voc20:', ['voc20:', 'voc20:seen']),
    ('coco80:seen', ['coco80:seen', 'no such split']),
    ('nowhere.txt', ['nowhere.txt', 'FileNotFoundError']),
    ([], ['No class']),
    ('', ['No class']),
    (' , ', ['No class']),
    ({}, ['No class']),
    ('cat, dog, cat', ["['cat']", 'more than once']),
    ('cat', ["'cat'", 'at least two class names']),
    (['cat', ''], ["''", 'empty']),
    (['cat, , kitten'], ['cat, , kitten', 'empty']),
    (['cat = '], ['cat = ', 'empty']),
    (['cat', 'dog', 'cat', 'dog, dog', 'cow'], ["['cat', 'dog']", 'more than once']),
    ([3], ['3', 'int']),
])
def test_refused(source, words):
    with pytest.raises(UserError) as error:
        load_vocabulary(source)
    assert all(word in str(error.value) for word in words)
    assert '\n' not in str(error.value)


def test_empty_file_is_refused(tmp_path):
    path = tmp_path / 'none.txt'
    path.write_text('# nothing\n')
    with pytest.raises(UserError, match='none.txt'):
        load_vocabulary(path)


def test_lsegs_official_wordings_of_ade20k():
    official, own = load_vocabulary('ade20k_lseg'), load_vocabulary('ade20k')
    assert list(official) == list(own)
    differing = {name: wordings for name, wordings in official.items() if wordings != own[name]}
    assert differing.keys() == {name for name in own if ' ' in name.strip()}
    assert all(wordings == (name.split()[0], ) for name, wordings in differing.items())
    assert [name for name, wordings in official.items() if wordings == ('screen', )] == ['screen door', 'screen']


@pytest.mark.parametrize('make', [
    lambda path: os.mkfifo(path), lambda path: os.symlink('/dev/zero', path), lambda path: path.mkdir()])
def test_devices_pipes_and_folders_are_refused(tmp_path, make):
    make(tmp_path / 'classes.txt')
    with pytest.raises(UserError, match='classes.txt.*cannot be read.*text file with one class'):
        load_vocabulary(tmp_path / 'classes.txt')


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
def test_invalid_sources(source, word):
    refused(lambda: load_vocabulary(source), word)


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
    refused(lambda: load_vocabulary(entries), 'write each class as a string')


@pytest.mark.parametrize('text', ['cat，dog', 'cat、 dog', 'cat；dog；', 'cat; dog', 'cat, dog，', 'cat،dog',
                                  '，cat，dog', 'cat､dog'])
def test_separators_of_a_typed_string(text):
    assert load_vocabulary(text) == {'cat': ('cat',), 'dog': ('dog',)}


@pytest.mark.parametrize('entry', ['cat，kitten', 'cat;kitten', 'cat； kitten', 'cat、kitten', 'cat = cat；kitten'])
def test_separators_of_synonyms(entry):
    assert load_vocabulary([entry, 'dog']) == {'cat': ('cat', 'kitten'), 'dog': ('dog',)}
    assert load_vocabulary({'cat': entry.partition(' = ')[2] or entry}) == {'cat': ('cat', 'kitten')}


@pytest.mark.parametrize('source, words', [
    ('cat, kitten; dog', 'by one of them'), ('cat；dog，sky', 'by one of them'), ('1, 2, 3', 'numbers'),
    (['1', '2.5'], 'numbers'), ('wall building sky ' * 100, "'wall building"), (['x' * 1001, 'a'], '1001 letters'),
    (['a.jpg', 'b.PNG'], 'file names'), (['names.txt'], 'file names'),
    (['toy:seen', 'cat'], "class, 'toy:seen'"), ("['cat', 'dog']", 'bracket'), ('"cat","dog"', 'quote'),
    ("'cat', 'dog'", 'quote'), ('{cat, dog}', 'bracket')])
def test_no_names(source, words):
    with pytest.raises(UserError) as error:
        load_vocabulary(source)
    assert words in str(error.value) and len(str(error.value)) < 400


def test_clip_reads_no_invisible_letters():
    assert load_vocabulary(['sky\u200b', '\ufeffzebra']) == {'sky\u200b': ('sky',), '\ufeffzebra': ('zebra',)}


@pytest.mark.parametrize('names', [['1, one', '2, two'], ['7 eleven', 'F-16'], ['🦉', '🐸'], ['3d printer', '1.5']])
def test_names_with_numbers(names):
    assert class_names(names) == [name.partition(',')[0] for name in names]

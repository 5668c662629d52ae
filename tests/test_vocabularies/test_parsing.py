"""Vocabularies: what may be written, and what is refused."""
import pytest

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_names, load_vocabulary


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


def test_spec_sides_are_the_whole():
    seen, unseen = class_names('voc20:seen'), class_names('voc20:unseen')
    assert len(seen) == 15 and unseen == ['pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor']
    assert seen + unseen == class_names('voc20')
    assert load_vocabulary('voc20:unseen')['tvmonitor'] == ('tv monitor',)


@pytest.mark.parametrize('source, words', [
    ('voc21', ['voc21', 'coco_stuff, context59, context60', 'voc20']),
    ('voc20:sen', ['voc20:sen', 'voc20:seen', 'voc20:unseen']),
    ('voc20:', ['voc20:', 'voc20:seen']),
    ('nowhere.txt', ['nowhere.txt', 'FileNotFoundError']),
    ([], ['No class']),
    (['cat', ''], ["''", 'empty']),
    (['cat, , kitten'], ['cat, , kitten', 'empty']),
    (['cat = '], ['cat = ', 'empty']),
    (['cat', 'dog', 'cat, kitten', 'dog = hound', 'cow'], ["['cat', 'dog']", 'more than once']),
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

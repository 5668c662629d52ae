"""Shipped label sets and splits compared with METAINFO of MMSegmentation and published indices."""
import pytest
from fixtures.refusals import refused
from mmseg.datasets import (
    ADE20KDataset,
    COCOStuffDataset,
    PascalContextDataset,
    PascalContextDataset59,
    PascalVOCDataset,
)

from mmseg_mvp.datasets import ToySceneDataset
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import UNSEEN, class_names, label_sets, load_vocabulary, split_names

METAINFO = {
    'voc20': PascalVOCDataset.METAINFO['classes'][1:],
    'context59': PascalContextDataset59.METAINFO['classes'],
    'context60': PascalContextDataset.METAINFO['classes'],
    'coco_stuff': COCOStuffDataset.METAINFO['classes'],
    'ade20k': ADE20KDataset.METAINFO['classes'],
}
# Label values of the unseen classes, as published.
INDICES = {
    'voc20': [15, 16, 17, 18, 19],
    'context59': [0, 6, 7, 14, 19, 24, 31, 33, 48, 54],
    'context60': [1, 7, 8, 15, 20, 25, 32, 34, 49, 55],
    'coco_stuff': [19, 23, 28, 29, 36, 51, 76, 88, 94, 112, 133, 136, 137, 157, 160],
    'ade20k': [9, 15, 30, 37, 49, 60, 74, 81, 89, 99, 112, 128, 136, 143, 149],
}
SEEN = {'voc20': 15, 'context59': 49, 'context60': 50, 'coco_stuff': 156, 'ade20k': 135}


@pytest.mark.parametrize('label_set', METAINFO)
def test_names_and_order_are_mmsegs(label_set):
    assert class_names(label_set) == list(METAINFO[label_set])


@pytest.mark.parametrize('label_set', METAINFO)
def test_split_is_the_published_one(label_set):
    names = METAINFO[label_set]
    assert class_names(f'{label_set}:unseen') == [names[index] for index in INDICES[label_set]]
    seen = [name for index, name in enumerate(names) if index not in INDICES[label_set]]
    assert class_names(f'{label_set}:seen') == seen and len(seen) == SEEN[label_set]


def test_every_split_is_of_a_label_set():
    assert set(UNSEEN) <= set(label_sets())


@pytest.mark.parametrize('label_set', [*UNSEEN, 'coco80'])
def test_no_two_classes_share_a_wording(label_set):
    wordings = [wording.lower() for entry in load_vocabulary(label_set).values() for wording in entry]
    assert len(wordings) == len(set(wordings))


@pytest.mark.parametrize('label_set', [*UNSEEN, 'coco80'])
def test_wordings_are_plain_words(label_set):
    wordings = [wording for entry in load_vocabulary(label_set).values() for wording in entry]
    assert not [wording for wording in wordings if wording != wording.strip() or set(wording) & set('-_=\'",')]


def test_things_come_first_in_coco_stuff():
    assert class_names('coco80') == list(METAINFO['coco_stuff'])[:80]
    assert load_vocabulary('coco80') == dict(list(load_vocabulary('coco_stuff').items())[:80])


def test_toy_split():
    assert set(class_names('toy:unseen')) == {'mushroom', 'boat', 'bird', 'rocket', 'key'}
    assert class_names('toy') == list(ToySceneDataset.METAINFO['classes']) and len(class_names('toy')) == 20


def test_unknown_unseen_name_is_named():
    assert split_names(['a', 'b', 'c'], ['c', 'a']) == (['b'], ['a', 'c'])
    with pytest.raises(UserError, match=r"\['x', 'y'\].*my set.*a, b"):
        split_names(['a', 'b'], ['x', 'b', 'y'], 'my set')


@pytest.mark.parametrize('names, unseen, word', [
    (None, ['a'], 'classes'), (['a'], None, 'unseen'), (['a'], 'a', 'str'), ('abc', ['a'], 'str'), (3, 3, 'int'),
    (['a'], ['b'], "['b']"), (['a'], b'a', 'bytes'),
])
def test_splits_are_of_lists(names, unseen, word):
    refused(lambda: split_names(names, unseen), word)

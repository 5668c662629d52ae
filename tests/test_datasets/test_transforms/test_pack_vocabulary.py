"""Packing of label lists, and invalid lists."""
import numpy as np
import pytest
from fixtures.refusals import refused
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import load_vocabulary


def results(**kwargs):
    labels = np.array([[0, 1], [255, 1]], np.uint8)
    return dict(dict(img=np.zeros((2, 2, 3), np.uint8), gt_seg_map=labels, seg_fields=['gt_seg_map'], img_path='a.jpg',
                     ori_shape=(2, 2), img_shape=(2, 2)), **kwargs)


def pack(**kwargs):
    return TRANSFORMS.build(dict(type='PackVocabulary', **kwargs))


def test_the_data_sets_vocabulary_goes_with_each_sample():
    packed = pack(classes=['cat, kitten', 'wall-wood = wooden wall'])(results())
    sample = packed['data_samples']
    assert sample.metainfo['vocabulary'] == {'cat': ('cat', 'kitten'), 'wall-wood': ('wooden wall', )}
    assert packed['inputs'].shape == (3, 2, 2) and sample.gt_sem_seg.data.tolist() == [[[0, 1], [255, 1]]]
    assert sample.metainfo['img_path'] == 'a.jpg' and sample.metainfo['ori_shape'] == (2, 2)
    assert pack(classes='voc20')(results())['data_samples'].vocabulary == load_vocabulary('voc20')


def test_an_entry_names_its_own():
    assert pack()(results(vocabulary=['others', 'potted_plant']))['data_samples'].vocabulary == {
        'others': ('others', ), 'potted_plant': ('potted plant', )}


def test_what_is_missing_is_named():
    with pytest.raises(UserError, match="a.jpg has no vocabulary.*PackVocabulary"):
        pack()(results())
    with pytest.raises(UserError, match='stand more than once'):
        pack()(results(vocabulary=['cat', 'cat']))


@pytest.mark.parametrize('classes', [3, [], '', [None]])
def test_invalid_classes(classes):
    refused(lambda: pack(classes=classes))

"""Warnings about files name the first files of each kind, once each."""
import pytest
from fixtures.logs import record_notices

from mmseg_mvp.utils import depth, notices


@pytest.fixture
def said(monkeypatch):
    return record_notices(monkeypatch)


def test_three_files_of_a_kind(said):
    for name in 'aabcdef':
        notices.notice('grey', name, f'{name} is grey.')
    notices.notice('red', 'a', 'a is red.')
    assert said == ['a is grey.', 'b is grey.', 'c is grey. This process names no further files of this kind.',
                    'a is red.']


@pytest.mark.parametrize('values, dtype, words', [
    ([0, 4000], 'uint16', 'from 0 to 4000: 0 is read as black and 4095 as white'),
    ([7, 200], 'int32', 'from 7 to 200: 0 is read as black and 255 as white'),
    ([0, 70000], 'int32', 'from 0 to 70000: 0 is read as black and 70000 as white'),
    ([-5, 70], 'int32', 'from -5 to 70: -5 is read as black and 70 as white'),
    ([0, .5], 'float32', 'from 0 to 0.5: 0 is read as black and 1 as white'),
    ([0, 100], 'float64', 'from 0 to 100: 0 is read as black and 255 as white'),
    ([0, 20], 'float64', 'from 0 to 20: 0 is read as black and 20 as white'),
    ([0, 1000], 'float16', 'from 0 to 1000: 0 is read as black and 1000 as white'),
])
def test_rule_of_other_depths_is_logged(said, values, dtype, words):
    array = depth.np.array([values], dtype)
    depth.to_bytes(array, 'Image a.png')
    assert said == [f'Image a.png has {dtype} values {words}.']


def test_eight_bits_need_no_rule(said):
    assert depth.to_bytes(depth.np.array([[0, 3]], 'uint8'), 'a').tolist() == [[0, 3]]
    assert depth.to_bytes(depth.np.array([[False, True]]), 'a').tolist() == [[0, 255]]
    assert not said


@pytest.mark.parametrize('value', [0, 5, -3, 0.])
def test_images_of_one_value(value):
    assert depth.to_bytes(depth.np.full((2, 2), value), 'a').tolist() == [[max(0, value)] * 2] * 2

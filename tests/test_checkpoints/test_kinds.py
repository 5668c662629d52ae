"""Each kind of object is stored as plain values and restored with its type; wrong values are refused."""
import collections
import copy
import pickle
from argparse import Namespace

import numpy as np
import pytest
import torch
from fixtures.plain_values import ARRAYS, NUMBERS, VALUES, Colour, array, assert_same, restored, written
from mmengine.logging import HistoryBuffer

from mmseg_mvp.checkpoints import decode_checkpoint, encode_checkpoint
from mmseg_mvp.checkpoints.encoding import TYPES
from mmseg_mvp.checkpoints.kinds import KINDS
from mmseg_mvp.errors import UserError

HUGE = range(10 ** 12)


def test_the_values_here_are_of_all_kinds():
    assert {name.rstrip('0123456789 ') for name in VALUES} == set(KINDS)
    for name, value in VALUES.items():
        types = encode_checkpoint(dict(value=value))[0][TYPES]
        assert types[0] == [name.rstrip('0123456789 '), ['value']]


@pytest.mark.parametrize('name', VALUES)
def test_a_value_of_each_kind_and_values_within_values(tmp_path, name):
    value = VALUES[name]
    before = copy.deepcopy(value)
    assert_same(restored(value, tmp_path), value)
    nested = dict(tuple=(1, [value]), list=[[value], (), {}], dict={5: {None: value}, True: value}, alone=value,
                  ordered=collections.OrderedDict(b=value, a=1), odd={(1, 2): value, b'c': [value], 2.5: 1},
                  deque=collections.deque([value]), namespace=Namespace(value=value),
                  default=collections.defaultdict(dict, {Colour.RED: value}))
    nested['array'] = np.empty(2, object)
    nested['array'][1] = value
    expected = dict(nested, default=collections.defaultdict(dict, {3: value}))
    assert_same(restored(nested, tmp_path), expected)
    assert_same(value, before)  # saving does not change the values of the run


@pytest.mark.parametrize('name', NUMBERS)
def test_numbers_of_numpy(tmp_path, name):
    again = restored([NUMBERS[name]], tmp_path)[0]
    assert_same(again, NUMBERS[name])
    assert pickle.dumps(again) == pickle.dumps(NUMBERS[name]) or name == 'long'  # its padding bytes are random


@pytest.mark.parametrize('name', ARRAYS)
def test_arrays(tmp_path, name):
    again = restored([ARRAYS[name]], tmp_path)[0]
    assert_same(again, ARRAYS[name])
    assert again.flags.fnc == ARRAYS[name].flags.fnc or again.dtype == object
    if again.size and again.dtype.names is None:
        again[(0, ) * again.ndim] = again.flat[-1]  # must be writable, since a resumed run changes arrays


def test_arrays_come_from_any_device(monkeypatch):
    """A tensor on a GPU needs a copy on the CPU before its conversion to NumPy."""
    plain = written(encode_checkpoint(dict(value=np.arange(3)))[0])
    asked, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, 'cpu', lambda tensor: asked.append(1) or cpu(tensor))
    assert decode_checkpoint(plain)['value'].tolist() == [0, 1, 2] and asked


@pytest.mark.parametrize('kind', [*KINDS, 'pairs', 'ordered pairs'])
def test_any_value_of_any_kind(kind):
    """The value is refused, or restored without any function in it."""
    values = [None, 3, -1, 2.5, True, 'a', '', [], [1, 2, 3], [None], [{}], {}, {'a': 1}, (), (1, ), torch.zeros(3),
              array(), dict(shape=[], items=[1]), [['a', {}], 2], ['int', {}], [[], None], HUGE]
    for value in values:
        try:
            again = decode_checkpoint({'value': copy.deepcopy(value), TYPES: [[kind, ['value']]]})['value']
        except UserError:
            continue
        if isinstance(again, HistoryBuffer):
            continue
        plain, lost = encode_checkpoint(dict(value=again))
        assert not lost and not callable(again), (value, again)

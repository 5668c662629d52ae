"""Objects beside the weights: as plain data in the file, as themselves again after it; hostile notes on types."""
import collections
import copy
import datetime
import enum
import functools
import io
import itertools
import pathlib
import pickle
import random
import time
import tracemalloc
from argparse import Namespace
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import addict
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from torch import nn

from mmseg_mvp.checkpoints import from_plain, same_data, to_plain
from mmseg_mvp.checkpoints.kinds import KINDS
from mmseg_mvp.checkpoints.plain import TYPES
from mmseg_mvp.engine import WholeCheckpointHook
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import read_archive

Point = collections.namedtuple('Point', 'x y')


class Colour(enum.IntEnum):
    RED = 3


class Name(str):
    pass


class Unknown:
    """No data."""


class Callable:
    """Not a function, but something that one can call."""

    def __call__(self):
        return 1


class Subclass(torch.Tensor):
    pass


# Values of each kind; several of one are told apart by a number.
VALUES = {
    'log': HistoryBuffer([1., 2., 4.], [1, 1, 2], max_length=7),
    'log 2': HistoryBuffer(),
    'log 3': HistoryBuffer([1, 2], [3, 4]),
    'config': ConfigDict(type='A', nested=dict(deep=[dict(path=pathlib.Path('/a'))], none=None)),
    'config 2': ConfigDict(),
    'config 3': ConfigDict(keys=1, items=[2], filename='x', update={3, 4}),
    'config file': Config(dict(model=dict(type='A', steps=[1, (2, 'x')]))),
    'addict': addict.Dict(a=dict(b={1: 2})),
    'counter': collections.Counter({'a': 3, 4: -1, (1, 'b'): 2}),
    'counter 2': collections.Counter([2, 3, 3]),
    'default dict': collections.defaultdict(int, a=1),
    'default dict 2': collections.defaultdict(None, {(1, 2): set()}),
    'default dict 3': collections.defaultdict(list, {np.int64(1): [range(3)]}),
    'default dict 4': collections.defaultdict(collections.Counter, a=collections.Counter('ab')),
    'size': torch.Size([2, 3]),
    'size 2': torch.Size(),
    'set': {1, 'a', (2, 3), None, frozenset({4})},
    'set 2': set(),
    'set 3': {2 ** 61, 2 ** 64, -2 ** 70},
    'frozenset': frozenset({'a', 2.5}),
    'deque': collections.deque([1, {2}], maxlen=5),
    'deque 2': collections.deque(),
    'range': range(5, 1, -2),
    'range 2': range(2 ** 20),
    'slice': slice(1, None, 2),
    'slice 2': slice('a', np.int64(3), (1, 2)),
    'complex': complex(float('inf'), -0.0),
    'bytes': bytes(range(256)),
    'bytes 2': b'',
    'bytearray': bytearray(b'\xff\0'),
    'path': pathlib.Path('/a b/ü.png'),
    'path 2': pathlib.Path(),
    'path 3': pathlib.Path('/\udcff'),  # a name of a file that is no UTF-8
    'pure path': pathlib.PurePosixPath('a/b'),
    'datetime': datetime.datetime(2026, 1, 2, 3, 4, 5, 678),
    'datetime 2': datetime.datetime(2026, 7, 2, tzinfo=ZoneInfo('Europe/Berlin')),
    'datetime 3': datetime.datetime.min,
    'date': datetime.date(2026, 1, 2),
    'time': datetime.time(3, 4, 5, tzinfo=datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))),
    'timedelta': datetime.timedelta(-3, 4, 5),
    'namespace': Namespace(a=1, b=Namespace(c=pathlib.Path('x')), **{'d e': (1, {2})}),
    'simple namespace': SimpleNamespace(a=[SimpleNamespace()]),
    'number': np.float32(0.1),
    'number type': np.dtype('>i4'),
    'number type 2': np.dtype([('a', 'f4', (2, 3)), ('b', [('c', 'U5')])]),
    'number type 3': np.dtype('O'),
    'array': np.arange(6.).reshape(2, 3),
    'dtype': torch.bfloat16,
    'layout': torch.sparse_coo,
    'device': torch.device('cuda:3'),
}
NUMBERS = {
    **{kind: np.dtype(kind).type(1) for kind in 'i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 ?'.split()},
    'complex': np.complex64(1 + 2j), 'double complex': np.complex128(-0.0 + 1j), 'long': np.longdouble('0.1'),
    'text': np.str_('äb'), 'no text': np.str_(''), 'bytes': np.bytes_(b'\xff\0a'), 'no bytes': np.bytes_(),
    'void': np.void(b'ab'), 'date': np.datetime64('2026-01-02'), 'no date': np.datetime64('NaT'),
    'days': np.timedelta64(3, 'D'), 'nan': np.float64('nan'),
    'record': np.array([(1, 'a')], dtype=[('x', 'i2'), ('y', 'U3')])[0],
}
ARRAYS = {
    'scalar': np.array(2.5), 'empty': np.zeros((0, 3), 'f2'), 'fortran': np.asfortranarray(np.arange(6).reshape(2, 3)),
    'turned': np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), 'part': np.arange(20)[::-3],
    'big end': np.arange(3, dtype='>i4'),
    'text': np.array([['ä', 'bcd']]), 'no text': np.array(['', '']), 'no bytes': np.ndarray(3, 'U0'),
    'bytes': np.array([b'a', b'\0b']), 'void': np.array([b'ab'], 'V2'),
    'dates': np.array(['2026-01-02', 'NaT'], 'M8[D]'), 'months': np.array([1], 'm8[3M]'),
    'flags': np.array([True, False]), 'spread': np.broadcast_to(np.float32(1), (3, 2)),
    'structured': np.array([(1, (2., b'x')), (3, (4., b''))], dtype=[('a', 'u1'), ('b', [('c', 'f8'), ('d', 'S2')])]),
    'aligned': np.array([(1, 2.)], dtype=np.dtype([('a', 'i1'), ('b', 'f8')], align=True)),
    'of arrays': np.array([(np.eye(2), 1)], dtype=[('a', 'f4', (2, 2)), ('b', 'i1')]),
    'no fields': np.zeros(2, np.dtype([])),
    'objects': np.array([None, 'a', {1}, pathlib.Path('x'), [1, 2]], dtype=object),
    'object': np.array({1, 2}, dtype=object), 'no objects': np.zeros((2, 0), dtype=object),
}
ARRAYS['lists'] = np.empty((1, 2), dtype=object)
ARRAYS['lists'][0] = [[1, 2], [3, 4]], [[5, 6], [7, 8]]  # NumPy would make one array of them


def assert_same(one, other, place=''):
    """Equal by value and by type, also within."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        for names in itertools.zip_longest(one, other):
            assert_same(*names, f'{place}, a key')
            assert_same(*map(dict.get, (one, other), names), f'{place}.{names[0]}')
        if isinstance(one, collections.defaultdict):
            assert one.default_factory is other.default_factory, place
    elif isinstance(one, (list, tuple, collections.deque)):
        assert len(one) == len(other) and getattr(one, 'maxlen', 0) == getattr(other, 'maxlen', 0), place
        for index, parts in enumerate(zip(one, other)):
            assert_same(*parts, f'{place}.{index}')
    elif isinstance(one, (Namespace, SimpleNamespace)):
        assert_same(vars(one), vars(other), place)
    elif isinstance(one, Config):
        assert_same(one.to_dict(), other.to_dict(), place)
    elif isinstance(one, HistoryBuffer):
        assert_same([*one.data, one.max_length], [*other.data, other.max_length], place)
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and one.layout == other.layout, place
        assert torch.equal(one.to_dense(), other.to_dense()), place
    elif isinstance(one, (np.ndarray, np.generic)):
        assert one.dtype == other.dtype and one.shape == other.shape, place
        if one.dtype == object:
            assert_same(list(one.flat), list(other.flat), place)
        else:
            assert one.tobytes() == other.tobytes() or one.dtype == np.longdouble and one == other, place
    elif isinstance(one, (set, frozenset)):
        assert one == other and sorted(map(repr, one)) == sorted(map(repr, other)), place
    else:
        assert one == other or one != one and other != other, place
        assert repr(one) == repr(other) or isinstance(one, (datetime.datetime, datetime.time)), place


def written(plain, path=None):
    """Plain values as torch reads them by ``weights_only=True`` from the file that it has written."""
    file = io.BytesIO()
    torch.save(plain, file)
    if path:
        path.write_bytes(file.getvalue())
    file.seek(0)
    return torch.load(file, weights_only=True)


def restored(value, tmp_path):
    """The value after its way through a file, by torch's reader and by ours, which must agree."""
    plain, lost = to_plain(dict(value=value))
    assert not lost
    by_torch = from_plain(written(plain, tmp_path / 'a.pth'))
    by_us = from_plain(read_archive(str(tmp_path / 'a.pth')))
    assert_same(by_torch, by_us)
    assert list(by_torch) == ['value'] or list(by_us) == ['value']
    return by_torch['value']


def test_the_values_here_are_of_all_kinds():
    assert {name.rstrip('0123456789 ') for name in VALUES} == set(KINDS)
    for name, value in VALUES.items():
        types = to_plain(dict(value=value))[0][TYPES]
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
    assert_same(value, before)  # the run that goes on has it as before


@pytest.mark.parametrize('name', NUMBERS)
def test_numbers_of_numpy(tmp_path, name):
    again = restored([NUMBERS[name]], tmp_path)[0]
    assert_same(again, NUMBERS[name])
    assert pickle.dumps(again) == pickle.dumps(NUMBERS[name]) or name == 'long'  # whose last bytes are left to chance


@pytest.mark.parametrize('name', ARRAYS)
def test_arrays(tmp_path, name):
    again = restored([ARRAYS[name]], tmp_path)[0]
    assert_same(again, ARRAYS[name])
    assert again.flags.fnc == ARRAYS[name].flags.fnc or again.dtype == object
    if again.size and again.dtype.names is None:
        again[(0, ) * again.ndim] = again.flat[-1]  # a run goes on writing into them


def test_arrays_come_from_any_device(monkeypatch):
    """torch gives NumPy no tensor of a GPU, where a run on one has all that it reads."""
    plain = written(to_plain(dict(value=np.arange(3)))[0])
    asked, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, 'cpu', lambda tensor: asked.append(1) or cpu(tensor))
    assert from_plain(plain)['value'].tolist() == [0, 1, 2] and asked


def test_plain_values_stay_as_they_are(tmp_path):
    values = dict(none=None, flag=True, int=-2 ** 100, float=-0.0, nan=float('nan'), text='ä\udcff', list=[], tuple=(),
                  dict={}, names={None: 1, True: 2, 5: 3, -1: 4, 'a': 5}, weight=torch.arange(3),
                  param=nn.Parameter(torch.ones(2)), half=torch.ones(2).bfloat16(), sparse=torch.eye(2).to_sparse(),
                  grad=torch.ones(2, requires_grad=True))
    plain, lost = to_plain(values)
    assert plain.pop(TYPES) == [] and lost == []
    assert_same(plain, values)
    assert all(plain[name] is value for name, value in values.items() if type(value) is torch.Tensor)
    assert_same(restored(values, tmp_path), values)


@pytest.mark.parametrize('keys', [
    [(1, 'a'), (2, (3, ))], [b'a'], [2.5, float('nan')], [pathlib.Path('a'), 'a'], [np.int64(1), np.str_('a')],
    [frozenset({1}), 1], ['x' * 10 ** 5], [2 ** 60, -2 ** 60, 2 ** 61 - 1], [torch.float16, torch.float32],
    [1j, datetime.date(2026, 1, 2)]])
@pytest.mark.parametrize('kind', [dict, collections.OrderedDict, collections.Counter])
def test_dicts_with_odd_keys(tmp_path, keys, kind):
    value = kind({name: number for number, name in enumerate(keys)})
    again = restored(value, tmp_path)
    assert type(again) is kind and list(again.values()) == list(value.values())
    for name, one in zip(value, again):
        assert_same(one, name)


def test_values_of_subclasses_become_those_of_their_base(tmp_path):
    class Settings(ConfigDict):
        pass

    param = nn.Parameter(torch.ones(2))
    param.layer = Unknown()
    value = dict(point=Point(1, {2}), colour=Colour.RED, name=Name('a'), tensor=torch.ones(2).as_subclass(Subclass),
                 settings=Settings(a=1), matrix=np.matrix([[1, 2]]), param=param, keys={Name('a'): 1, Colour.RED: 2},
                 sizes=torch.ones(2).max(0))
    expected = dict(point=(1, {2}), colour=3, name='a', tensor=torch.ones(2), settings=ConfigDict(a=1),
                    matrix=np.array([[1, 2]]), param=nn.Parameter(torch.ones(2)), keys={'a': 1, 3: 2},
                    sizes=(torch.tensor(1.), torch.tensor(0)))
    assert_same(restored(value, tmp_path), expected)


def test_the_versions_of_modules_stay_beside_the_weights(tmp_path):
    state = nn.BatchNorm1d(2).state_dict()
    state._metadata['']['note'] = pathlib.Path('x')
    again = restored(state, tmp_path)
    assert type(again) is collections.OrderedDict and again._metadata['']['version'] == 2
    assert state._metadata['']['note'] == pathlib.Path('x')


def test_settings_whose_dicts_are_none():
    settings = ConfigDict(a=1)
    dict.__setitem__(settings, 'b', {'c': 1})  # as lazily built ones hold them
    again = from_plain(written(to_plain(dict(value=settings))[0]))['value']
    assert type(dict.__getitem__(again, 'b')) is dict and again == settings


def test_random_values(tmp_path):
    """Containers of containers of all kinds."""
    generator = random.Random(0)
    leaves = [*VALUES.values(), *NUMBERS.values(), *ARRAYS.values(), 1, 'a', None, torch.ones(1)]
    makers = [list, tuple, collections.deque, lambda parts: dict(zip('abc', parts)), lambda parts: Namespace(x=parts),
              lambda parts: ConfigDict(a=parts), lambda parts: collections.OrderedDict(enumerate(parts)),
              lambda parts: {(index, b'a'): part for index, part in enumerate(parts)},
              lambda parts: collections.defaultdict(set, {2.5: parts})]

    def value(depth):
        if not depth or generator.random() < 0.2:
            return generator.choice(leaves)
        return generator.choice(makers)([value(depth - 1) for _ in range(generator.randrange(4))])

    for _ in range(60):
        one = value(5)
        assert_same(restored(one, tmp_path), one)
        assert same_data(one, restored(one, tmp_path))


class TestLost:
    """Objects that are no data are left out, told by their places, and everything else stays."""

    @pytest.mark.parametrize('value, kind', [
        (Unknown(), 'Unknown'), (Callable(), 'Callable'), (nn.ReLU(), 'torch.nn.modules.activation.ReLU'),
        (torch.Generator(), 'torch._C.Generator'), (np.ma.masked_array([1], [True]), 'numpy.ma'),
        (np.array([(1, None)], dtype=[('a', 'i4'), ('b', 'O')]), 'numpy.ndarray'),
        (itertools.count(), 'itertools.count'),
        (range(2 ** 20 + 1), 'builtins.range'), (collections.defaultdict(lambda: 1), 'collections.defaultdict'),
        (collections.defaultdict(Unknown, a=1), 'collections.defaultdict'), (enum.Enum('E', 'A').A, '.E'),
        (np.zeros(2, dict(names=['b', 'a'], formats=['i4', 'i4'], offsets=[4, 0])), 'numpy.ndarray')])
    def test_objects(self, value, kind):
        checkpoint = dict(weight=torch.ones(1), info=dict(value=value, a={1}), list=[value, {2}], tuple=(value, ),
                          odd={(1, 2): value, (3, 4): {3}})
        plain, lost = to_plain(checkpoint)
        assert len(lost) == 4 and all(kind in one for one in lost), lost
        assert [one.split()[0] for one in lost] == ['info.value', 'list.0', 'tuple.0', 'odd.0.1']
        assert from_plain(written(plain)) == dict(
            weight=torch.ones(1), info=dict(a={1}), list=[None, {2}], tuple=(None, ), odd={(3, 4): {3}})

    @pytest.mark.parametrize('value', [
        len, lambda: 1, [].append, Unknown, dict, functools.partial(len), nn.ReLU().forward, classmethod, str.join,
        torch.cat, np.mean])
    def test_functions_and_classes_are_no_loss(self, value):
        ordered = collections.OrderedDict(a=value)
        plain, lost = to_plain(dict(value=value, list=[value], ordered=ordered, odd={value: 1}))
        assert lost == [] and from_plain(written(plain)) == dict(list=[None], ordered={}, odd={})

    def test_values_that_hold_themselves(self):
        ring, settings, loop = [1], ConfigDict(a=1), collections.deque([1])
        ring.append({'ring': ring})
        dict.__setitem__(settings, 'settings', [settings])
        loop.append(loop)
        plain, lost = to_plain(dict(ring=ring, settings=settings, loop=loop))
        assert lost == ['ring.1.ring (builtins.list)', 'settings.settings.0 (mmengine.config.config.ConfigDict)',
                        'loop.0.1 (collections.deque)']
        assert from_plain(written(plain)) == dict(
            ring=[1, {}], settings=dict(a=1, settings=[None]), loop=collections.deque([1, None]))

    @pytest.mark.parametrize('value, depth', [
        ([1], 90), (np.arange(3), 89), (ConfigDict(a=[1]), 89), (HistoryBuffer([1], [1]), 88), ({(1, 2): {3}}, 88),
        ({2.5: 1}, 89), (collections.deque([1]), 89)], ids=lambda value: type(value).__name__)
    def test_values_that_are_nested_deeply(self, tmp_path, value, depth):
        for _ in range(80):
            value = [value]
        for number in range(80, 105):
            plain, lost = to_plain(dict(value=value))
            assert bool(lost) == (number >= depth), number
            torch.save(plain, tmp_path / 'a.pth')
            again = from_plain(read_archive(str(tmp_path / 'a.pth')))
            if not lost:
                assert_same(again, dict(value=value))
            value = [value]

    def test_an_object_that_fails_when_it_is_looked_at(self):
        class Broken(dict):
            def items(self):
                raise RuntimeError('never mind')

        plain, lost = to_plain(dict(a=Broken(a=1), b={2}))
        assert len(lost) == 1 and 'Broken' in lost[0] and from_plain(plain) == dict(b={2})


class TestSameData:

    @pytest.mark.parametrize('name', VALUES)
    def test_each_kind(self, name):
        assert same_data(VALUES[name], copy.deepcopy(VALUES[name]))
        for other, value in VALUES.items():
            assert same_data(VALUES[name], value) == (other == name), other

    def test_what_pickles_tell_apart(self):
        """Sets in another order of insertion, texts that are shared or not."""
        one, other = ({*map(str, order), 8, 0, 16} for order in (range(20), range(19, -1, -1)))
        assert same_data([one, 'ab', 'ab'], [other, 'ab', ''.join('ab')]) and same_data(float('nan'), float('nan'))

    @pytest.mark.parametrize('one, other', [
        (1, True), (1, 1.), ([1], (1, )), ({1: 2}, {1: 3}), (dict(a=1), ConfigDict(a=1)),
        (torch.ones(1), torch.ones(1).double()), (np.arange(2), np.arange(2.)),
        (np.arange(2), np.arange(3)), ([1], [1, 2]), (None, {})])
    def test_what_differs(self, one, other):
        assert not same_data(one, other) and same_data(one, one) and same_data(other, other)


def array(dtype='<i8', shape=(2, ), order='C', size=16, **more):
    return dict(dict(dtype=dtype, shape=list(shape), order=order, bytes=torch.zeros(size, dtype=torch.uint8)), **more)


HUGE = range(10 ** 12)
SHARED = torch.zeros(2 ** 20, dtype=torch.uint8)
TEXT = 'x' * 2 ** 20
# Values and notes that no run of ours writes.
HOSTILE = {
    'no such type': ({}, [['module', ['value']]]),
    'a type by its module': ({}, [['builtins.eval', ['value']]]),
    'pairs of a number': (3, [['pairs', ['value']]]),
    'pairs of three': ([[[1], 2, 3]], [['pairs', ['value']]]),
    'pairs twice': ([[1, 2]], [['pairs', ['value']], ['pairs', ['value']]]),
    'two types': ([], [['set', ['value']], ['frozenset', ['value']]]),
    'two types and pairs': ([], [['set', ['value']], ['pairs', ['value']], ['pairs', ['value']]]),
    'a deque of a range': ([0, 10 ** 12, 1], [['deque', ['value']], ['range', ['value', 0]]]),
    'a set of a range': ([0, 2 ** 19, 1], [['set', ['value']], ['range', ['value']]]),
    'a deque that holds a range': ([[0, 2 ** 19, 1], None], [['deque', ['value']], ['range', ['value', 0]]]),
    'a counter of a range': ([0, 2 ** 19, 1], [['counter', ['value']], ['pairs', ['value']]]),
    'a counter of a list': (['a', 'b'], [['counter', ['value']]]),
    'a huge range': ([0, 10 ** 12, 1], [['range', ['value']]]),
    'a range of none': ([0, None, 1], [['range', ['value']]]),
    'a range of one step': ([0, 1], [['range', ['value']]] * 2),
    'a size of text': (('a', ), [['size', ['value']]]),
    'a size of a list': ([1], [['size', ['value']]]),
    'a set of lists': ([[1]], [['set', ['value']]]),
    'a set of one hash': ([(2 ** 61 - 1) * number for number in range(2000)], [['set', ['value']]]),
    'keys of one hash': ([[(2 ** 61 - 1) * number, 0] for number in range(2000)], [['pairs', ['value']]]),
    'a dtype named load': ('load', [['dtype', ['value']]]),
    'a dtype of torch.load': ('torch.load', [['dtype', ['value']]]),
    'a layout named float32': ('float32', [['layout', ['value']]]),
    'a dtype that is none': ('nn', [['dtype', ['value']]]),
    'a device': ('nonsense', [['device', ['value']]]),
    'a device of a number': (3, [['device', ['value']]]),
    'a date of text': ('tomorrow', [['date', ['value']]]),
    'a path of bytes': (3, [['path', ['value']]]),
    'bytes of a number': (10 ** 10, [['bytes', ['value']]]),
    'a bytearray of a number': (10 ** 10, [['bytearray', ['value']]]),
    'bytes of wide letters': ('€', [['bytes', ['value']]]),
    'a complex of text': (['1', '2'], [['complex', ['value']]]),
    'a deque of a huge size': ([[], 10 ** 30], [['deque', ['value']]]),
    'a factory': (['eval', {}], [['default dict', ['value']]]),
    'a factory that is a method': (['__reduce__', {}], [['default dict', ['value']]]),
    'a namespace of a list': ([1], [['namespace', ['value']]]),
    'a namespace of numbers': ({1: 2}, [['namespace', ['value']]]),
    'a namespace with another class': ({'__class__': 3}, [['namespace', ['value']]]),
    'settings of a list': ([('a', 1)], [['config', ['value']]]),
    'a config of a list': ([1], [['config file', ['value']]]),
    'a log of lists': (dict(logs=[1], counts=[1], max_length=3), [['log', ['value']]]),
    'a log without counts': (dict(logs=[1]), [['log', ['value']]]),
    'a log of two lengths': (dict(logs=array(), counts=array(shape=(1, ), size=8), max_length=3),
                             [['log', ['value']], ['array', ['value', 'logs']], ['array', ['value', 'counts']]]),
    'bytes that are too few': (array(size=8), [['array', ['value']]]),
    'bytes that are too many': (array(size=24), [['array', ['value']]]),
    'a huge shape': (array(shape=(2 ** 62, 4)), [['array', ['value']]]),
    'a negative shape': (array(shape=(-1, -2)), [['array', ['value']]]),
    'a shape of floats': (array(shape=(2., )), [['array', ['value']]]),
    'no bytes, many parts': (array(shape=(10 ** 9, 0), size=0), [['array', ['value']]]),
    'numbers without bytes': (array('<U0', (10 ** 9, ), size=0), [['array', ['value']]]),
    'an unknown order': (array(order='Z'), [['array', ['value']]]),
    'an array of objects by their bytes': (array('|O'), [['array', ['value']]]),
    'an array of objects in a structure': (array([('a', '|O'), ('b', 'i8')], (1, )), [['array', ['value']]]),
    'objects that are too few': (dict(shape=[10 ** 9], items=[1]), [['array', ['value']]]),
    'objects without parts': (dict(shape=[10 ** 9], items=[]), [['array', ['value']]]),
    'an unknown number type': (array('nonsense'), [['array', ['value']]]),
    'a number type of None': (array(None), [['array', ['value']]]),
    'a number type nested in itself': (array([('a', ('i4', (2 ** 31, )))]), [['array', ['value']]]),
    'a number type of huge parts': (array([('a', 'i4', (2 ** 20, 2 ** 20))]), [['array', ['value']]]),
    'bytes of text': (array(bytes='x' * 16), [['array', ['value']]]),
    'bytes that need gradients': (array(bytes=torch.zeros(4, requires_grad=True)), [['array', ['value']]]),
    'bytes that are spread': (array(bytes=torch.zeros(1, dtype=torch.uint8).expand(16)), [['array', ['value']]]),
    'bytes on no device': (array(bytes=torch.zeros(16, dtype=torch.uint8, device='meta')), [['array', ['value']]]),
    'a number that is an array': (array(), [['number', ['value']]]),
    'a number that is an object': (dict(shape=[], items=[print]), [['number', ['value']]]),
    'one text as many bytes': ([TEXT] * 2000, [['bytes', ['value', number]] for number in range(2000)]),
    'one text as many paths': ([TEXT] * 2000, [['path', ['value', number]] for number in range(2000)]),
    'one tensor as many numbers': (
        [array('|S1048576', (), bytes=SHARED)] * 2000, [['number', ['value', number]] for number in range(2000)]),
    'one array as many logs': (
        [dict({name: array('|u1', (2 ** 20, ), bytes=SHARED) for name in ('logs', 'counts')}, max_length=2 ** 20)
         for _ in range(200)], [note for number in range(200) for note in (
             ['log', ['value', number]], *(['array', ['value', number, name]] for name in ('logs', 'counts')))]),
    'a part of a number': (3, [['set', ['value', 0]]]),
    'a part of a text': ('abc', [['path', ['value', 0]]]),
    'a part of a tensor': (torch.zeros(3), [['set', ['value', 0]]]),
    'a part beyond the list': ([1], [['set', ['value', 1]]]),
    'a part of a list by its name': ([1], [['set', ['value', 'append']]]),
    'a place of a list': ([1], [['set', ['value', [0]]]]),
    'a place of a dict': ([1], [['set', ['value', {}]]]),
    'a place of a huge number': ({}, [['set', ['value', 2 ** 70]]]),
    'a place of a tuple': ({}, [['set', ('value', )]]),
    'a long place': ([], [['set', ['value'] * 101]]),
    'very long places': ([], [['set', ['value', *([0] * 10 ** 6)]]] * 1000),
    'one text for a place': ([], [['set', 'value']]),
    'a note of three': ([], [['set', ['value'], 1]]),
    'a note that is a number': ([], [3]),
    'notes that are a number': ([], 3),
    'notes that are a dict': ([], {'ab': 1}),
    'a name that is a list': ([], [[['set'], ['value']]]),
    'the whole as a set': ([], [['set', []]]),
}


class TestHostile:

    @pytest.mark.parametrize('name', HOSTILE)
    def test_notes_that_do_not_fit(self, tmp_path, name):
        value, notes = HOSTILE[name]
        torch.save({'value': value, TYPES: notes}, tmp_path / 'a.pth')
        checkpoint = torch.load(tmp_path / 'a.pth', weights_only=False)
        size = (tmp_path / 'a.pth').stat().st_size
        del value, notes
        tracemalloc.start()
        begin = time.perf_counter()
        with pytest.raises(UserError, match=f"can't be restored .*{TYPES} do not fit") as error:
            from_plain(checkpoint)
        seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        text = str(error.value)
        assert '\n' not in text and len(text) < 350, text
        assert seconds < 3 and peak < 2 ** 27 + 32 * size, (seconds, peak)

    @pytest.mark.parametrize('kind', [*KINDS, 'pairs', 'ordered pairs'])
    def test_any_value_of_any_kind(self, kind):
        """Refused, or something without a function in it."""
        values = [None, 3, -1, 2.5, True, 'a', '', [], [1, 2, 3], [None], [{}], {}, {'a': 1}, (), (1, ), torch.zeros(3),
                  array(), dict(shape=[], items=[1]), [['a', {}], 2], ['int', {}], [[], None], HUGE]
        for value in values:
            try:
                again = from_plain({'value': copy.deepcopy(value), TYPES: [[kind, ['value']]]})['value']
            except UserError:
                continue
            if isinstance(again, HistoryBuffer):
                continue
            plain, lost = to_plain(dict(value=again))
            assert not lost and not callable(again), (value, again)

    def test_notes_on_what_someone_has_removed(self):
        """As mmseg's publish_model.py does."""
        plain, _ = to_plain(dict(optimizer=dict(a=[{1}]), meta=dict(a={2}, b=pathlib.Path('x')), state_dict={}))
        del plain['optimizer'], plain['meta']['a']
        assert from_plain(written(plain)) == dict(meta=dict(b=pathlib.Path('x')), state_dict={})

    @pytest.mark.slow
    def test_any_change_of_the_notes(self):
        generator = random.Random(0)
        plain = to_plain(dict(VALUES, numbers=NUMBERS, arrays=ARRAYS))[0]
        parts = [None, 3, 2 ** 70, 'a', [], {}, ['set'], *KINDS, *VALUES, torch.zeros(2)]
        refused = 0
        for _ in range(500):
            changed = copy.deepcopy(plain)
            for _ in range(generator.choice([1, 1, 3])):
                note = generator.choice(changed[TYPES])
                if generator.random() < 0.5:
                    note[generator.randrange(2)] = generator.choice(parts)
                elif isinstance(note[1], list):
                    note[1].insert(generator.randrange(3), generator.choice(parts))
            try:
                from_plain(changed)
            except UserError as error:
                refused += '\n' not in str(error)
        assert refused > 250


def test_a_checkpoint_without_notes_comes_back_as_it_is():
    checkpoint = dict(state_dict=dict(a=torch.ones(1)), meta=dict(a=Namespace()))
    for checkpoint in (checkpoint, {}, [1], None, collections.OrderedDict(a=1)):
        assert from_plain(checkpoint) is checkpoint


class TestHook:
    """``WholeCheckpointHook`` in a run."""

    @pytest.fixture
    def run(self):
        warnings = []
        return SimpleNamespace(warnings=warnings, logger=SimpleNamespace(warning=warnings.append))

    def test_what_it_saves_it_restores(self, run):
        hook = WholeCheckpointHook()
        before = dict(meta=dict(folder=pathlib.Path('x')), counts=collections.Counter('aab'), weight=torch.ones(1))
        checkpoint = dict(before)
        assert hook.before_save_checkpoint(run, checkpoint) is None and TYPES in checkpoint
        checkpoint = written(checkpoint)
        assert hook.after_load_checkpoint(run, checkpoint) is None
        assert_same(checkpoint, before)
        hook.after_load_checkpoint(run, checkpoint)  # our tools have restored it before
        assert_same(checkpoint, before)
        assert run.warnings == []

    def test_it_warns_once_of_what_is_lost(self, run):
        hook = WholeCheckpointHook()
        one = Unknown()
        for content, count in ((dict(a=one, b=len), 1), (dict(a=one, c=[1]), 1), (dict(a=one, d=Callable()), 2)):
            hook.before_save_checkpoint(run, dict(message_hub=content))
            assert len(run.warnings) == count
        assert run.warnings[0].startswith('Not saved in checkpoints, since it is no plain data: message_hub.a (')
        assert 'message_hub.d (' in run.warnings[1] and 'message_hub.a' not in run.warnings[1]

    def test_the_data_sets_own_metainfo(self):
        own = dict(root=pathlib.Path('x'))
        loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=own))
        for meta, same in ((dict(root=pathlib.Path('x')), True), (dict(root='x'), False)):
            checkpoint = dict(meta=dict(dataset_meta=meta))
            WholeCheckpointHook().after_load_checkpoint(
                SimpleNamespace(_train_loop=SimpleNamespace(dataloader=loader)), checkpoint)
            assert (checkpoint['meta']['dataset_meta'] is own) == same

    @pytest.mark.parametrize('loop', [None, {}, dict(dataloader=3), SimpleNamespace(dataloader={})])
    def test_a_run_without_data_to_train_with(self, loop):
        """A test's training loop is a config, which nobody builds."""
        for checkpoint in (dict(state_dict={}), dict(meta=3), dict(meta=dict(dataset_meta=1))):
            again = dict(checkpoint)
            WholeCheckpointHook().after_load_checkpoint(SimpleNamespace(_train_loop=loop), again)
            assert again == checkpoint

"""Checkpoints as plain data: values that stay, objects that are restored or omitted, and hostile types."""
import collections
import copy
import datetime
import enum
import functools
import itertools
import pathlib
import random
import time
import tracemalloc
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fixtures.plain_values import (
    ARRAYS,
    NUMBERS,
    VALUES,
    Callable,
    Colour,
    Name,
    Point,
    Subclass,
    Unknown,
    array,
    assert_same,
    restored,
    written,
)
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from torch import nn

from mmseg_mvp.checkpoints import decode_checkpoint, encode_checkpoint, same_data
from mmseg_mvp.checkpoints.encoding import TYPES
from mmseg_mvp.checkpoints.kinds import KINDS
from mmseg_mvp.engine import AtomicCheckpointHook
from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import read_archive


def test_plain_values_stay_as_they_are(tmp_path):
    values = dict(none=None, flag=True, int=-2 ** 100, float=-0.0, nan=float('nan'), text='ä\udcff', list=[], tuple=(),
                  dict={}, names={None: 1, True: 2, 5: 3, -1: 4, 'a': 5}, weight=torch.arange(3),
                  param=nn.Parameter(torch.ones(2)), half=torch.ones(2).bfloat16(), sparse=torch.eye(2).to_sparse(),
                  grad=torch.ones(2, requires_grad=True))
    plain, lost = encode_checkpoint(values)
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
    dict.__setitem__(settings, 'b', {'c': 1})  # lazily built configs contain plain dicts
    again = decode_checkpoint(written(encode_checkpoint(dict(value=settings))[0]))['value']
    assert type(dict.__getitem__(again, 'b')) is dict and again == settings


def test_random_values(tmp_path):
    """Nested containers of all kinds."""
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
    """Objects that are not data are omitted and reported with their places; all else stays."""

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
        plain, lost = encode_checkpoint(checkpoint)
        assert len(lost) == 4 and all(kind in one for one in lost), lost
        assert [one.split()[0] for one in lost] == ['info.value', 'list.0', 'tuple.0', 'odd.0.1']
        assert decode_checkpoint(written(plain)) == dict(
            weight=torch.ones(1), info=dict(a={1}), list=[None, {2}], tuple=(None, ), odd={(3, 4): {3}})

    @pytest.mark.parametrize('value', [
        len, lambda: 1, [].append, Unknown, dict, functools.partial(len), nn.ReLU().forward, classmethod, str.join,
        torch.cat, np.mean])
    def test_functions_and_classes_are_no_loss(self, value):
        ordered = collections.OrderedDict(a=value)
        plain, lost = encode_checkpoint(dict(value=value, list=[value], ordered=ordered, odd={value: 1}))
        assert lost == [] and decode_checkpoint(written(plain)) == dict(list=[None], ordered={}, odd={})

    def test_values_that_hold_themselves(self):
        ring, settings, loop = [1], ConfigDict(a=1), collections.deque([1])
        ring.append({'ring': ring})
        dict.__setitem__(settings, 'settings', [settings])
        loop.append(loop)
        plain, lost = encode_checkpoint(dict(ring=ring, settings=settings, loop=loop))
        assert lost == ['ring.1.ring (builtins.list)', 'settings.settings.0 (mmengine.config.config.ConfigDict)',
                        'loop.0.1 (collections.deque)']
        assert decode_checkpoint(written(plain)) == dict(
            ring=[1, {}], settings=dict(a=1, settings=[None]), loop=collections.deque([1, None]))

    @pytest.mark.parametrize('value, depth', [
        ([1], 90), (np.arange(3), 89), (ConfigDict(a=[1]), 89), (HistoryBuffer([1], [1]), 88), ({(1, 2): {3}}, 88),
        ({2.5: 1}, 89), (collections.deque([1]), 89)], ids=lambda value: type(value).__name__)
    def test_values_that_are_nested_deeply(self, tmp_path, value, depth):
        for _ in range(80):
            value = [value]
        for number in range(80, 105):
            plain, lost = encode_checkpoint(dict(value=value))
            assert bool(lost) == (number >= depth), number
            torch.save(plain, tmp_path / 'a.pth')
            again = decode_checkpoint(read_archive(str(tmp_path / 'a.pth')))
            if not lost:
                assert_same(again, dict(value=value))
            value = [value]

    def test_an_object_that_fails_when_it_is_looked_at(self):
        class Broken(dict):
            def items(self):
                raise RuntimeError('never mind')

        plain, lost = encode_checkpoint(dict(a=Broken(a=1), b={2}))
        assert len(lost) == 1 and 'Broken' in lost[0] and decode_checkpoint(plain) == dict(b={2})


class TestSameData:

    @pytest.mark.parametrize('name', VALUES)
    def test_each_kind(self, name):
        assert same_data(VALUES[name], copy.deepcopy(VALUES[name]))
        for other, value in VALUES.items():
            assert same_data(VALUES[name], value) == (other == name), other

    def test_what_pickles_tell_apart(self):
        """Sets with another order of insertion; strings that are shared or not."""
        one, other = ({*map(str, order), 8, 0, 16} for order in (range(20), range(19, -1, -1)))
        assert same_data([one, 'ab', 'ab'], [other, 'ab', ''.join('ab')]) and same_data(float('nan'), float('nan'))

    @pytest.mark.parametrize('one, other', [
        (1, True), (1, 1.), ([1], (1, )), ({1: 2}, {1: 3}), (dict(a=1), ConfigDict(a=1)),
        (torch.ones(1), torch.ones(1).double()), (np.arange(2), np.arange(2.)),
        (np.arange(2), np.arange(3)), ([1], [1, 2]), (None, {})])
    def test_what_differs(self, one, other):
        assert not same_data(one, other) and same_data(one, one) and same_data(other, other)


SHARED = torch.zeros(2 ** 20, dtype=torch.uint8)
TEXT = 'x' * 2 ** 20
# Values and types that this package never writes.
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
            decode_checkpoint(checkpoint)
        seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        text = str(error.value)
        assert '\n' not in text and len(text) < 350, text
        assert seconds < 3 and peak < 2 ** 27 + 32 * size, (seconds, peak)

    def test_notes_on_what_someone_has_removed(self):
        """mmseg's publish_model.py removes entries."""
        meta = dict(a={2}, b=pathlib.Path('x'))
        plain, _ = encode_checkpoint(dict(optimizer=dict(a=[{1}]), meta=meta, state_dict={}))
        del plain['optimizer'], plain['meta']['a']
        assert decode_checkpoint(written(plain)) == dict(meta=dict(b=pathlib.Path('x')), state_dict={})

    @pytest.mark.slow
    def test_any_change_of_the_notes(self):
        generator = random.Random(0)
        plain = encode_checkpoint(dict(VALUES, numbers=NUMBERS, arrays=ARRAYS))[0]
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
                decode_checkpoint(changed)
            except UserError as error:
                refused += '\n' not in str(error)
        assert refused > 250


def test_a_checkpoint_without_notes_comes_back_as_it_is():
    checkpoint = dict(state_dict=dict(a=torch.ones(1)), meta=dict(a=Namespace()))
    for checkpoint in (checkpoint, {}, [1], None, collections.OrderedDict(a=1)):
        assert decode_checkpoint(checkpoint) is checkpoint


class TestHook:
    """``AtomicCheckpointHook`` in a run."""

    @pytest.fixture
    def run(self):
        warnings = []
        return SimpleNamespace(warnings=warnings, logger=SimpleNamespace(warning=warnings.append))

    def test_what_it_saves_it_restores(self, run):
        hook = AtomicCheckpointHook()
        before = dict(meta=dict(folder=pathlib.Path('x')), counts=collections.Counter('aab'), weight=torch.ones(1))
        checkpoint = dict(before)
        assert hook.before_save_checkpoint(run, checkpoint) is None and TYPES in checkpoint
        checkpoint = written(checkpoint)
        assert hook.after_load_checkpoint(run, checkpoint) is None
        assert_same(checkpoint, before)
        hook.after_load_checkpoint(run, checkpoint)  # our tools restore it first; a second call has no effect
        assert_same(checkpoint, before)
        assert run.warnings == []

    def test_it_warns_once_of_what_is_lost(self, run):
        hook = AtomicCheckpointHook()
        one = Unknown()
        for content, count in ((dict(a=one, b=len), 1), (dict(a=one, c=[1]), 1), (dict(a=one, d=Callable()), 2)):
            hook.before_save_checkpoint(run, dict(message_hub=content))
            assert len(run.warnings) == count
        assert run.warnings[0].startswith('Not saved in checkpoints, because it is not plain data: message_hub.a (')
        assert 'message_hub.d (' in run.warnings[1] and 'message_hub.a' not in run.warnings[1]

    def test_the_data_sets_own_metainfo(self):
        own = dict(root=pathlib.Path('x'))
        loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=own))
        for meta, same in ((dict(root=pathlib.Path('x')), True), (dict(root='x'), False)):
            checkpoint = dict(meta=dict(dataset_meta=meta))
            AtomicCheckpointHook().after_load_checkpoint(
                SimpleNamespace(_train_loop=SimpleNamespace(dataloader=loader)), checkpoint)
            assert (checkpoint['meta']['dataset_meta'] is own) == same

    @pytest.mark.parametrize('loop', [None, {}, dict(dataloader=3), SimpleNamespace(dataloader={})])
    def test_a_run_without_data_to_train_with(self, loop):
        """In a test, the training loop is a config that is never built."""
        for checkpoint in (dict(state_dict={}), dict(meta=3), dict(meta=dict(dataset_meta=1))):
            again = dict(checkpoint)
            AtomicCheckpointHook().after_load_checkpoint(SimpleNamespace(_train_loop=loop), again)
            assert again == checkpoint

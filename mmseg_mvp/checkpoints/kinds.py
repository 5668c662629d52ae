"""Object types that a checkpoint stores as plain values, with their conversions in both directions."""
import collections
import datetime
import math
import pathlib
from argparse import Namespace
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import addict
import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import HistoryBuffer
from numpy.lib.format import descr_to_dtype, dtype_to_descr
from torch import Tensor

from mmseg_mvp.unpickling import PLAIN_VALUES, of_type

_FACTORIES = {kind.__name__: kind for kind in (
    bool, bytes, collections.Counter, collections.OrderedDict, collections.deque, dict, float, frozenset, int, list,
    set, str, tuple)}
_MAX_SIZE = 2 ** 20  # largest size of an array that is not backed by bytes
_MAX_SAME = 100  # largest number of keys with equal hashes


class Kind(NamedTuple):
    """Object type with its conversions to plain values and back.

    A file may name any type for any value, so ``decode`` must accept only values that ``encode`` can return.
    """
    type: type
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _from(kind: type, function: Callable) -> Callable:
    """Wrap a function so that it accepts only values of exactly this type."""
    return lambda value: function(of_type(value, kind))


def _spread(function: Callable, *kinds: type) -> Callable:
    """Wrap a function of several arguments so that it accepts a list of values of these types."""
    return lambda value: function(*[of_type(part, *kinds) for part in of_type(value, list)])


def _filled(kind: type) -> Callable:
    """Return a function that fills a dict subclass without calling its own setters."""
    def filled(value: dict) -> dict:
        target = kind()
        dict.update(target, of_type(value, dict))
        return target
    return filled


def _hashed(keys: list) -> list:
    """Return the keys of a dict or entries of a set; refuse many equal hashes, since comparing them takes hours."""
    counts = collections.Counter(map(hash, keys))
    if max(counts.values(), default=0) > _MAX_SAME:
        raise ValueError('too many keys with equal hashes')
    return keys


def _pairs(kind: type) -> Callable:
    def pairs(value: list) -> dict:
        names, values = ([of_type(pair, list)[side] for pair in of_type(value, list)] for side in range(2))
        return kind(zip(_hashed(names), values, strict=True))
    return pairs


def _sorted(value: set | frozenset) -> list:
    """Sort the entries by their text, so that the order is the same in each process."""
    return sorted(value, key=repr)


def _array(value: np.ndarray) -> dict:
    """Convert an array to its bytes, since torch has no text, date or structured dtypes."""
    if value.dtype == object:
        return dict(shape=list(value.shape), items=list(value.flat))
    kind = dtype_to_descr(value.dtype)
    if value.dtype.hasobject or descr_to_dtype(kind) != value.dtype or isinstance(value, np.ma.MaskedArray):
        raise ValueError('an array that its bytes do not determine')
    order = 'F' if value.flags.fnc else 'C'
    data = bytearray(value.tobytes(order))
    data = torch.frombuffer(data, dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)
    return dict(dtype=kind, shape=list(value.shape), order=order, bytes=data)


def _from_array(value: dict) -> np.ndarray:
    shape = [of_type(number, int) for number in of_type(of_type(value, dict)['shape'], list)]
    if 'items' in value:
        return _objects(of_type(value['items'], list), shape)
    kind, data = descr_to_dtype(value['dtype']), of_type(value['bytes'], Tensor).cpu().numpy()
    size = math.prod(shape)
    if kind.hasobject or data.nbytes != size * kind.itemsize:
        raise ValueError('an array whose size differs from that of its bytes')
    if max([size, *shape]) > max(_MAX_SIZE, data.nbytes):
        raise ValueError('an array with too many elements and no bytes')
    return np.ndarray(shape, kind, data, order=value['order'])


def _objects(items: list, shape: list[int]) -> np.ndarray:
    array = np.empty(len(items), object)
    for index, item in enumerate(items):  # one by one, since NumPy would expand lists
        array[index] = item
    return array.reshape(shape)


def _from_number(value: dict) -> np.generic:
    if of_type(value, dict)['shape'] or 'items' in value:
        raise ValueError('a number with the contents of an array')
    return _from_array(value)[()]


def _log(value: HistoryBuffer) -> dict:
    logs, counts = value.data
    return dict(logs=logs, counts=counts, max_length=int(value.max_length))


def _from_log(value: dict) -> HistoryBuffer:
    logs, counts = (value[name] for name in ('logs', 'counts'))
    if not (isinstance(logs, np.ndarray) and isinstance(counts, np.ndarray)):
        raise ValueError('a log whose values are not arrays')
    return HistoryBuffer(logs, counts, of_type(value['max_length'], int))


def _default_dict(value: collections.defaultdict) -> list:
    name = getattr(value.default_factory, '__name__', None)
    if value.default_factory is not _FACTORIES.get(name):
        raise ValueError('a defaultdict with an unknown default_factory')
    return [name, dict(value)]


def _from_default_dict(value: list) -> collections.defaultdict:
    name, entries = value
    return collections.defaultdict(_FACTORIES[name] if name else None, of_type(entries, dict))


def _from_deque(value: list) -> collections.deque:
    entries, size = value
    return collections.deque(of_type(entries, list), size)


def _ends(value: range | slice) -> list:
    return [value.start, value.stop, value.step]


def _named(kind: type) -> Callable:
    """Return a function that finds the torch constant of this type by its name."""
    return lambda value: of_type(vars(torch)[of_type(value, str).removeprefix('torch.')], kind)


# The first entry whose type matches an object is used. The values that `encode` returns may contain objects again.
KINDS = {
    'number': Kind(np.generic, lambda value: _array(np.asarray(value)), _from_number),
    'log': Kind(HistoryBuffer, _log, _from(dict, _from_log)),
    'config': Kind(ConfigDict, dict.copy, _filled(ConfigDict)),
    'config file': Kind(Config, Config.to_dict, _from(dict, Config)),
    'addict': Kind(addict.Dict, dict.copy, _filled(addict.Dict)),
    'counter': Kind(collections.Counter, dict, _filled(collections.Counter)),
    'default dict': Kind(collections.defaultdict, _default_dict, _from(list, _from_default_dict)),
    'size': Kind(torch.Size, tuple, _from(tuple, torch.Size)),
    'set': Kind(set, _sorted, _from(list, lambda value: set(_hashed(value)))),
    'frozenset': Kind(frozenset, _sorted, _from(list, lambda value: frozenset(_hashed(value)))),
    'deque': Kind(collections.deque, lambda value: [list(value), value.maxlen], _from(list, _from_deque)),
    'range': Kind(range, _ends, _spread(PLAIN_VALUES['builtins', 'range'], int)),
    'slice': Kind(slice, _ends, _from(list, lambda value: slice(*value))),
    'complex': Kind(complex, lambda value: [value.real, value.imag], _spread(complex, float)),
    'bytes': Kind(bytes, lambda value: value.decode('latin1'), _from(str, lambda value: value.encode('latin1'))),
    'bytearray': Kind(bytearray, lambda value: value.decode('latin1'),
                      _from(str, lambda value: bytearray(value.encode('latin1')))),
    'path': Kind(pathlib.Path, str, _from(str, pathlib.Path)),
    'pure path': Kind(pathlib.PurePath, str, _from(str, pathlib.PurePath)),
    'datetime': Kind(datetime.datetime, datetime.datetime.isoformat, _from(str, datetime.datetime.fromisoformat)),
    'date': Kind(datetime.date, datetime.date.isoformat, _from(str, datetime.date.fromisoformat)),
    'time': Kind(datetime.time, datetime.time.isoformat, _from(str, datetime.time.fromisoformat)),
    'timedelta': Kind(datetime.timedelta, lambda value: [value.days, value.seconds, value.microseconds],
                      _spread(datetime.timedelta, int)),
    'namespace': Kind(Namespace, lambda value: dict(vars(value)), _from(dict, lambda value: Namespace(**value))),
    'simple namespace': Kind(SimpleNamespace, lambda value: dict(vars(value)),
                             _from(dict, lambda value: SimpleNamespace(**value))),
    'array': Kind(np.ndarray, _array, _from_array),
    'number type': Kind(np.dtype, dtype_to_descr, descr_to_dtype),
    'dtype': Kind(torch.dtype, str, _named(torch.dtype)),
    'layout': Kind(torch.layout, str, _named(torch.layout)),
    'device': Kind(torch.device, str, _from(str, torch.device)),
}
# Dicts whose keys are not names, stored as lists of key-value pairs.
PAIRS = {'pairs': _pairs(dict), 'ordered pairs': _pairs(collections.OrderedDict)}

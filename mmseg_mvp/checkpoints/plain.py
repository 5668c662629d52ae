"""Checkpoints of plain data, which any torch reads by ``weights_only=True``: tensors, numbers, text, lists, dicts.

mmengine saves objects beside the weights: logs, counters of schedulers, whatever a data set's metainfo holds.
:func:`to_plain` turns them into plain values of the same meaning (a ``Path`` into text, a ``Counter`` into a dict) and
notes their types under :data:`TYPES`, by which :func:`from_plain` restores them. Functions and other objects are not
data: a resumed run has those that it is built with.
"""
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
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import PLAIN_VALUES, Reference, StandIn, of_type, short

TYPES = 'types_of_plain_values'
_MAX_DEPTH = 100
_FACTORIES = {kind.__name__: kind for kind in (dict, float, int, list, set, str, tuple)}
_LEAVES = (type(None), bool, int, float, str, Tensor, torch.nn.Parameter)


class Kind(NamedTuple):
    """A type of objects, how they become plain values, and how those become objects again.

    A file may note any type for any value, so ``restore`` must refuse all values but those that ``plain`` gives.
    """
    type: type
    plain: Callable[[Any], Any]
    restore: Callable[[Any], Any]


def _from(kind: type, function: Callable) -> Callable:
    """The function, for values of exactly this type."""
    return lambda value: function(of_type(value, kind))


def _spread(function: Callable) -> Callable:
    """The function of several arguments, for a list of numbers."""
    return lambda value: function(*[of_type(part, int, float, type(None)) for part in of_type(value, list)])


def _array(value: np.ndarray) -> list | dict:
    """An array as its bytes: torch has no text, no dates and no structures."""
    if value.dtype.hasobject:
        return value.tolist()
    return dict(dtype=_dtype_name(value.dtype), shape=list(value.shape),
                bytes=torch.frombuffer(bytearray(value.tobytes()) or bytearray(1), dtype=torch.uint8))


def _dtype_name(dtype: np.dtype) -> Any:
    return dtype.str if dtype.names is None else [[name, _dtype_name(dtype[name])] for name in dtype.names]


def _dtype(name: Any) -> np.dtype:
    return np.dtype(name if isinstance(name, str) else [(field, _dtype(kind)) for field, kind in name])


def _from_array(value: list | dict) -> np.ndarray:
    if type(value) is list:
        return np.array(value, dtype=object)
    dtype, shape = _dtype(of_type(value, dict)['dtype']), of_type(value['shape'], list)
    if dtype.hasobject:
        raise ValueError('an array of objects')
    data = of_type(value['bytes'], Tensor).numpy().tobytes()
    return np.frombuffer(data, dtype, math.prod(shape)).reshape(shape).copy()


def _log(value: HistoryBuffer) -> dict:
    logs, counts = value.data
    return dict(logs=logs, counts=counts, max_length=value.max_length)


def _from_log(value: dict) -> HistoryBuffer:
    logs, counts = (of_type(value[name], np.ndarray) for name in ('logs', 'counts'))
    return HistoryBuffer(logs, counts, of_type(value['max_length'], int))


def _default_dict(value: collections.defaultdict) -> list:
    return [getattr(value.default_factory, '__name__', None), dict(value)]


def _from_default_dict(value: list) -> collections.defaultdict:
    return collections.defaultdict(_FACTORIES.get(value[0]), of_type(value[1], dict))


def _ends(value: range | slice) -> list:
    return [value.start, value.stop, value.step]


def _named(kind: type) -> Callable:
    """The value of torch of this type and name."""
    return lambda value: of_type(vars(torch)[of_type(value, str).removeprefix('torch.')], kind)


# The first entry whose type an object has decides. What `plain` gives may hold objects again.
KINDS = {
    'log': Kind(HistoryBuffer, _log, _from(dict, _from_log)),
    'config': Kind(ConfigDict, dict.copy, _from(dict, ConfigDict)),
    'config file': Kind(Config, Config.to_dict, _from(dict, Config)),
    'addict': Kind(addict.Dict, dict.copy, _from(dict, addict.Dict)),
    'counter': Kind(collections.Counter, dict, _from(dict, collections.Counter)),
    'default dict': Kind(collections.defaultdict, _default_dict, _from(list, _from_default_dict)),
    'size': Kind(torch.Size, tuple, _from(tuple, torch.Size)),
    'set': Kind(set, list, _from(list, set)),
    'frozenset': Kind(frozenset, list, _from(list, frozenset)),
    'deque': Kind(collections.deque, lambda value: [list(value), value.maxlen],
                  _from(list, lambda value: collections.deque(of_type(value[0], list), value[1]))),
    'range': Kind(range, _ends, _spread(PLAIN_VALUES['builtins', 'range'])),
    'slice': Kind(slice, _ends, _spread(slice)),
    'complex': Kind(complex, lambda value: [value.real, value.imag], _spread(complex)),
    'bytes': Kind(bytes, lambda value: value.decode('latin1'), _from(str, lambda value: value.encode('latin1'))),
    'bytearray': Kind(bytearray, lambda value: value.decode('latin1'),
                      _from(str, lambda value: bytearray(value.encode('latin1')))),
    'path': Kind(pathlib.PurePath, str, _from(str, pathlib.Path)),
    'datetime': Kind(datetime.datetime, datetime.datetime.isoformat, _from(str, datetime.datetime.fromisoformat)),
    'date': Kind(datetime.date, datetime.date.isoformat, _from(str, datetime.date.fromisoformat)),
    'time': Kind(datetime.time, datetime.time.isoformat, _from(str, datetime.time.fromisoformat)),
    'timedelta': Kind(datetime.timedelta, lambda value: [value.days, value.seconds, value.microseconds],
                      _spread(datetime.timedelta)),
    'namespace': Kind(Namespace, lambda value: dict(vars(value)), _from(dict, lambda value: Namespace(**value))),
    'simple namespace': Kind(SimpleNamespace, lambda value: dict(vars(value)),
                             _from(dict, lambda value: SimpleNamespace(**value))),
    'number': Kind(np.generic, lambda value: _array(np.asarray(value)), lambda value: _from_array(value)[()]),
    'array': Kind(np.ndarray, _array, _from_array),
    'dtype': Kind(torch.dtype, str, _named(torch.dtype)),
    'layout': Kind(torch.layout, str, _named(torch.layout)),
    'device': Kind(torch.device, str, _from(str, torch.device)),
}


def to_plain(checkpoint: dict) -> tuple[dict, list[str]]:
    """A checkpoint of plain values.

    Args:
        checkpoint (dict): As mmengine saves it.

    Returns:
        tuple[dict, list[str]]: The same with :data:`TYPES`, and the places of what is neither data nor a function.
    """
    types, lost = [], []
    plain = _plain(checkpoint, (), types, lost)
    return dict(plain, **{TYPES: types}), lost


class _Omitted:
    """In the place of what is not saved."""


def _plain(value: Any, place: tuple, types: list, lost: list) -> Any:
    if type(value) in _LEAVES:
        return value
    for name, kind in KINDS.items():
        if isinstance(value, kind.type):
            types.append([name, list(place)])
            value = kind.plain(value)
            break
    if isinstance(value, dict):
        return _plain_dict(value, place, types, lost)
    if isinstance(value, (list, tuple)):
        parts = [_plain(part, (*place, index), types, lost) for index, part in enumerate(value)]
        parts = [None if part is _Omitted else part for part in parts]
        return tuple(parts) if isinstance(value, tuple) else parts
    for base in (bool, int, float, str, Tensor):  # subclasses, such as members of an IntEnum
        if isinstance(value, base):
            return value if base is Tensor else base(value)
    if not callable(value):
        lost.append(f'{".".join(map(str, place))} ({type(value).__module__}.{type(value).__name__})')
    return _Omitted


def _plain_dict(value: dict, place: tuple, types: list, lost: list) -> dict | list:
    if not all(type(key) in (str, int, float, bool, type(None)) for key in value):
        types.append(['pairs', list(place)])
        return _plain([list(pair) for pair in value.items()], place, types, lost)
    plain = collections.OrderedDict() if isinstance(value, collections.OrderedDict) else {}
    for key, part in value.items():
        part = _plain(part, (*place, key), types, lost)
        if part is not _Omitted:
            plain[key] = part
    if hasattr(value, '_metadata') and isinstance(plain, collections.OrderedDict):  # versions of a model's modules
        plain._metadata = value._metadata
    return plain


def from_plain(checkpoint: dict) -> dict:
    """A checkpoint with the objects that :func:`to_plain` turned into plain values; any other as it is.

    Args:
        checkpoint (dict): As read.

    Returns:
        dict: As mmengine saves it.

    Raises:
        UserError: If the notes on types don't fit the values.
    """
    if not (isinstance(checkpoint, dict) and TYPES in checkpoint):
        return checkpoint
    checkpoint = dict(checkpoint)
    try:
        types, above = {}, set()
        for name, place in checkpoint.pop(TYPES):
            if len(place) > _MAX_DEPTH or tuple(place) in types and name != 'pairs':
                raise ValueError('a value of two types, or one that is nested too deep')
            types.setdefault(tuple(place), []).append(name)
            above.update(tuple(place[:end]) for end in range(len(place)))
        return _restored(checkpoint, (), types, above)
    except Exception as error:  # a note of a stranger can be wrong in many ways
        raise UserError(f'The objects of a checkpoint can\'t be restored ({type(error).__name__}: '
                        f'{short(str(error))}): its {TYPES} don\'t fit its values; copy the file again.') from error


def _restored(value: Any, place: tuple, types: dict[tuple, list[str]], above: set[tuple]) -> Any:
    if place in above:
        if isinstance(value, dict):
            for key in value:
                value[key] = _restored(value[key], (*place, key), types, above)
        else:
            value = type(value)(_restored(part, (*place, index), types, above) for index, part in enumerate(value))
    for name in reversed(types.get(place, ())):
        value = dict(map(tuple, of_type(value, list))) if name == 'pairs' else KINDS[name].restore(value)
    return value


def without_stand_ins(value: Any, place: str = '') -> tuple[Any, list[str]]:
    """A value without the stand-ins in its dicts, in place, and what they stood for.

    A scheduler that is resumed then keeps what it is built with. In lists None takes their places.
    """
    left_out = []
    if isinstance(value, (StandIn, Reference)):
        return None, [f'{place} ({value})']
    if isinstance(value, dict):
        for key in list(value):
            part, names = without_stand_ins(value[key], f'{place}.{key}' if place else str(key))
            left_out += names
            if names and part is None or isinstance(key, (StandIn, Reference)):
                del value[key]
            else:
                value[key] = part
    elif type(value) in (list, tuple):
        parts = [without_stand_ins(part, f'{place}.{index}') for index, part in enumerate(value)]
        left_out += [name for _, names in parts for name in names]
        if left_out:
            value = type(value)(part for part, _ in parts)
    return value, left_out

"""The values that a pickle may hold beside plain ones: Python's containers, NumPy's arrays and numbers.

Each function makes a value from the arguments of a call. None goes through a value that is not bounded by the size of
the pickle, and an array gets no memory that its bytes don't fill.
"""
import math
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .limits import key, of_type, short
from .unpickler import ForeignError, Pending

_MAX_RANGE = 2 ** 20


class NumberType(Pending):
    """A NumPy dtype to be; a real one could be changed for the whole process."""

    def __init__(self, code: str, *_) -> None:
        self.code, self.state = of_type(code, str), ()

    def __str__(self) -> str:
        return f'numpy.dtype of {short(self.code)}'

    def restore(self, state: tuple) -> None:
        self.state = of_type(state, tuple)

    def dtype(self) -> np.dtype:
        """The dtype, by ``numpy.dtype.__reduce__``: version, byte order, base, names, fields, itemsize, ..., unit."""
        order, base, names, fields, size = (*self.state[1:6], *[None] * 5)[:5]
        if base is not None:
            return np.dtype((base[0].dtype(), base[1]))
        if names is not None:
            return np.dtype(dict(names=list(names), formats=[fields[name][0].dtype() for name in names],
                                 offsets=[fields[name][1] for name in names], itemsize=size))
        code = self.code[:20]
        if code in ('M8', 'm8') and len(self.state) > 8:
            unit, step = self.state[8][1][:2]
            code = f'{code}[{int(step)}{unit if type(unit) is str else of_type(unit, bytes).decode()}]'
        return np.dtype(code).newbyteorder(order if order in ('<', '>') else '=')


class Array(np.ndarray, Pending):
    """An array to be. It is pickled as NumPy's own."""

    def restore(self, state: tuple) -> None:
        version, shape, number, fortran, data = of_type(state, tuple)
        dtype = of_type(number, NumberType).dtype()
        if dtype.hasobject and (dtype != np.dtype('O') or type(data) is not list):  # raw bytes would be addresses
            raise ForeignError(f'it asks for arrays of {short(str(dtype))}')
        held = len(of_type(data, bytes, bytearray, list))
        if self.size or math.prod(of_type(shape, tuple)) > held or max(shape, default=0) > max(held, _MAX_RANGE):
            raise pickle.UnpicklingError('an array that is larger than its bytes')
        np.ndarray.__setstate__(self, (version, shape, dtype, bool(fortran), data))

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _array(*_) -> Array:
    return Array(0, np.uint8)  # its state says the rest


def _array_of(data: bytes, number: NumberType, shape: tuple, order: str = 'C') -> Array:
    """An array as protocol 5 holds it."""
    array = _array()
    array.restore((1, shape, number, order == 'F', data))
    return array


def _number(number: NumberType, data: bytes) -> np.generic:
    dtype = of_type(number, NumberType).dtype()
    if dtype.hasobject:
        raise ForeignError('it asks for numbers that are objects')
    return np.frombuffer(data, dtype, 1)[0] if dtype.itemsize else dtype.type()


def _ordered(pairs: list = (), *_) -> OrderedDict:
    return OrderedDict((key(name), value) for name, value in of_type(pairs, list, tuple))


def _counter(counts: dict | None = None, *_) -> Counter:
    return Counter(of_type(counts or {}, dict, OrderedDict))


def _deque(entries: list = (), size: int | None = None, *_) -> deque:
    return deque(of_type(entries, list, tuple), size)


def _default_dict(*_) -> defaultdict:
    return defaultdict()  # without the factory, which would be a function


def _collection(kind: type) -> Callable:
    def collection(entries: Any = (), *_) -> Any:
        entries = of_type(entries, list, tuple, set, frozenset)
        return kind(map(key, entries) if kind in (set, frozenset) else entries)
    return collection


def _bytes(text: str = '', *_) -> bytes:
    return of_type(text, str).encode('latin1')  # the way of protocol 2


def _bytearray(data: Any = b'', *_) -> bytearray:
    return bytearray(data if type(data) is bytes else _bytes(data))


def _complex(*parts: float) -> complex:
    return complex(*[of_type(part, float, int) for part in parts])


def _range(*ends: int) -> range:
    whole = range(*ends)
    if max(abs(whole.start), abs(whole.stop)) > _MAX_RANGE:
        raise pickle.UnpicklingError('a range of too many numbers')
    return whole


def _slice(*ends: int) -> slice:
    return slice(*[end and of_type(end, int) for end in ends])


PLAIN_VALUES = {
    ('collections', 'OrderedDict'): _ordered,
    ('collections', 'Counter'): _counter,
    ('collections', 'defaultdict'): _default_dict,
    ('collections', 'deque'): _deque,
    ('_codecs', 'encode'): _bytes,
    ('numpy', 'dtype'): NumberType,
    ('numpy', 'ndarray'): _array,
    **{(f'numpy.{core}.{module}', name): value for core in ('core', '_core') for module, name, value in (
        ('multiarray', '_reconstruct', _array), ('multiarray', 'scalar', _number),
        ('numeric', '_frombuffer', _array_of))},
    **{(builtins, name): value for builtins in ('builtins', '__builtin__') for name, value in (
        *((kind.__name__, _collection(kind)) for kind in (set, frozenset, list, tuple)), ('bytes', _bytes),
        ('bytearray', _bytearray), ('complex', _complex), ('range', _range), ('xrange', _range), ('slice', _slice))},
}

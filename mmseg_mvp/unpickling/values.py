"""Values that a pickle may hold besides plain ones: Python's containers, NumPy's arrays and numbers.

Each function makes a value from the arguments of a call, or sets the state of a value. The size of the pickle limits
their run time. An array never takes more memory than its bytes.
"""
import math
import pickle
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .limits import check_keys, check_sizes, of_type, short
from .unpickler import ForeignError, StandIn

_MAX_RANGE = 2 ** 20
_MAX_FIELDS = 1000
_CODE = re.compile(r'[biufcSUVO]\d{1,9}|[Mm]8(\[\d{1,9}[a-zA-Z]{1,7}\])?')
_UNFILLED = np.dtype([('unfilled', 'V1')])  # dtype of an array without a state


class NumberType(StandIn):
    """Record of a NumPy dtype. A pickle could change a real dtype for the whole process.

    Attributes:
        dtype (np.dtype): Real dtype.
        count (int): Number of dtypes in it: itself, its fields, and their fields.
    """

    def __init__(self, code: str, *_) -> None:
        super().__init__('numpy.dtype', (code, ))
        self.dtype, self.count = _dtype(of_type(code, str)), 1

    def restore(self, state: tuple) -> None:
        """Set the state from ``numpy.dtype.__reduce__``: version, order, base, names, fields, itemsize, ..., unit."""
        order, base, names, fields, size = (*of_type(state, tuple)[1:6], *[None] * 5)[:5]
        if base is not None:
            parts = [of_type(base, tuple)[0]]
            dtype = np.dtype((of_type(parts[0], NumberType).dtype, check_sizes(base[1])))
        elif names is not None:
            fields = [of_type(of_type(fields, dict)[of_type(name, str)], tuple) for name in of_type(names, tuple)]
            parts = [of_type(field[0], NumberType) for field in fields]
            dtype = np.dtype(dict(names=list(names), formats=[part.dtype for part in parts],
                                  offsets=[of_type(field[1], int) for field in fields], itemsize=of_type(size, int)))
        else:
            parts, dtype = [], _dtype(*self.args, *state[8:9]).newbyteorder(order if order in ('<', '>') else '=')
        self.dtype, self.count = dtype, 1 + sum(part.count for part in parts)
        if self.count > _MAX_FIELDS:
            raise pickle.UnpicklingError('a NumPy type with too many fields')


def _dtype(code: str, extra: tuple | None = None) -> np.dtype:
    """Return the dtype of a code such as ``'f8'``; time codes also take a unit, ``(None, (b's', 1, 1, 1))``."""
    if extra and code in ('M8', 'm8'):
        unit, step, *_ = of_type(of_type(extra, tuple)[1], tuple)
        code = f'{code}[{of_type(step, int)}{unit if type(unit) is str else of_type(unit, bytes).decode()}]'
    if not _CODE.fullmatch(code):
        raise pickle.UnpicklingError(f'unknown NumPy type {short(code)}')
    return np.dtype(code)


def _array(*_) -> np.ndarray:
    return np.empty(0, _UNFILLED)  # filled by its state


def _fill(array: np.ndarray, state: tuple) -> None:
    """Set the state of an array: version, shape, dtype, order and data."""
    version, shape, number, fortran, data = of_type(state, tuple)
    dtype, held = of_type(number, NumberType).dtype, len(of_type(data, bytes, bytearray, list))
    if dtype.hasobject and (dtype != np.dtype('O') or type(data) is not list):  # NumPy would use raw bytes as addresses
        raise ForeignError(f'it asks for arrays of {short(str(dtype))}')
    if math.prod(check_sizes(shape)) > held or max(shape, default=0) > max(held, _MAX_RANGE):
        raise pickle.UnpicklingError('an array that is larger than its bytes')
    if array.dtype != _UNFILLED or dtype.hasobject and any(map(_recursive, data)):
        raise pickle.UnpicklingError('an array in an array, or an array that is filled twice')
    array.__setstate__((version, shape, dtype, fortran is True, data if type(data) is list else bytes(data)))


def _recursive(entry: Any) -> bool:
    """True if Python frees an entry by recursion, as an array of objects; a long chain can crash the process."""
    if type(entry) is np.ndarray:
        return entry.dtype.hasobject or entry.dtype == _UNFILLED
    return type(entry) in (deque, defaultdict)


def _array_of(data: bytes, number: NumberType, shape: tuple, order: str, axes: tuple | None = None) -> np.ndarray:
    """Make an array from the form of pickle protocol 5."""
    array = _array()
    _fill(array, (1, shape, number, of_type(order, str) == 'F', data))
    return array if axes is None else array.transpose(check_sizes(axes))


def _number(number: NumberType, data: bytes) -> np.generic:
    dtype = of_type(number, NumberType).dtype
    if dtype.hasobject:
        raise ForeignError('it asks for numbers that are objects')
    numbers = np.frombuffer(of_type(data, bytes), dtype, 1) if dtype.itemsize else np.zeros(1, dtype)
    return numbers.copy()[0]


def _ordered(pairs: list = (), *_) -> OrderedDict:
    pairs = [of_type(pair, list, tuple) for pair in of_type(pairs, list, tuple)]
    check_keys([name for name, _ in pairs])
    return OrderedDict(pairs)


def _set_metadata(value: OrderedDict, state: dict) -> None:
    """Set ``_metadata``, the module versions of a state dict; ignore other attributes."""
    if type(metadata := of_type(state, dict).get('_metadata')) is OrderedDict:
        value._metadata = metadata


def _counter(counts: dict | None = None, *_) -> Counter:
    return Counter(of_type({} if counts is None else counts, dict, OrderedDict))


def _deque(entries: list = (), size: int | None = None, *_) -> deque:
    return deque(of_type(entries, list, tuple), size)


def _default_dict(*_) -> defaultdict:
    return defaultdict()  # without the default factory, which is a function


def _collection(kind: type) -> Callable:
    def collection(entries: Any = (), *_) -> Any:
        entries = of_type(entries, list, tuple, set, frozenset)
        return kind(check_keys(entries) if kind in (set, frozenset) else entries)
    return collection


def _bytes(text: str = '', *_) -> bytes:
    return of_type(text, str).encode('latin1')  # as in protocol 2


def _bytearray(data: Any = b'', *_) -> bytearray:
    return bytearray(data if type(data) is bytes else _bytes(data))


def _complex(*parts: float) -> complex:
    return complex(*[of_type(part, float, int) for part in parts])


def _range(*ends: int) -> range:
    whole = range(*[of_type(end, int) for end in ends])
    if max(abs(whole.start), abs(whole.stop)) > _MAX_RANGE:
        raise pickle.UnpicklingError('a range of too many numbers')
    return whole


def _slice(*ends: int) -> slice:
    return slice(*[of_type(end, int, type(None)) for end in ends])


# Maps names to functions that make values, and types to functions that set the state of a value.
PLAIN_VALUES = {
    ('collections', 'OrderedDict'): _ordered,
    ('collections', 'Counter'): _counter,
    ('collections', 'defaultdict'): _default_dict,
    ('collections', 'deque'): _deque,
    ('_codecs', 'encode'): _bytes,
    ('numpy', 'dtype'): NumberType,
    ('numpy', 'ndarray'): _array,
    OrderedDict: _set_metadata,
    NumberType: NumberType.restore,
    np.ndarray: _fill,
    **{(f'numpy.{core}.{module}', name): value for core in ('core', '_core') for module, name, value in (
        ('multiarray', '_reconstruct', _array), ('multiarray', 'scalar', _number),
        ('numeric', '_frombuffer', _array_of))},
    **{(builtins, name): value for builtins in ('builtins', '__builtin__') for name, value in (
        *((kind.__name__, _collection(kind)) for kind in (set, frozenset, list, tuple)), ('bytes', _bytes),
        ('bytearray', _bytearray), ('complex', _complex), ('range', _range), ('xrange', _range), ('slice', _slice))},
}

"""Limits for reading untrusted pickles: memory, keys, sizes, depth, and length of messages."""
import pickle
import reprlib
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

MAX_DEPTH = 100  # levels of nested containers
FREE_BYTES = 2 ** 26
MAX_GROWTH = 32
_MAX_PARTS = 16  # largest number of values in a key
_MAX_TEXT = 2 ** 16  # longest text in a key
_MAX_BITS = 2 ** 10  # largest result of _bits
_MAX_LOOSE = 32  # largest number of keys in a container if a file can choose a key's hash
_HASH_BITS = 64
_BITS = {str: 0, bytes: 0, float: 64, complex: 128, range: 128, slice: 128, np.complexfloating: 128, np.void: 128,
         np.generic: 64}


class Budget:
    """Memory limit for the contents of a file: MAX_GROWTH times the file size plus FREE_BYTES.

    Args:
        size (int): File size in bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = FREE_BYTES + MAX_GROWTH * size

    def spend(self, size: int) -> None:
        """Subtract a number of bytes.

        Raises:
            pickle.UnpicklingError: If the limit is exceeded.
        """
        self.left -= size
        if self.left < 0:
            raise pickle.UnpicklingError('its contents need too much memory for a file of this size')

    def copy(self, values: Collection[Any]) -> None:
        """Subtract an upper bound of the memory for a copy of a container and of its direct entries."""
        self.spend(64 * len(values))
        self.spend(sum(len(value) if isinstance(value, (str, bytes, bytearray)) else 128 * len(value)
                       for value in values
                       if isinstance(value, (str, bytes, bytearray, list, tuple, dict, set, frozenset))))


def check_keys(values: Collection[Any], others: int = 0) -> Collection[Any]:
    """Return dict keys or set entries; refuse many keys that may share a hash, since comparing them takes hours.

    Args:
        values (Collection): Keys to check.
        others (int): Number of keys already in the container.

    Raises:
        pickle.UnpicklingError: If too many keys may share a hash, or a key is too large.
    """
    loose = sum(_bits(value) > _HASH_BITS for value in values)
    if loose and loose + others > _MAX_LOOSE:
        raise pickle.UnpicklingError('too many keys that may have equal hashes')
    return values


def check_key(value: Any) -> Any:
    """Return a key; refuse keys for which a file can choose many others with the same hash."""
    if _bits(value) > _HASH_BITS:
        raise pickle.UnpicklingError('a key whose hash a file can choose')
    return value


def _bits(value: Any) -> int:
    """Count the bits of a key by which a file can choose its hash; text counts 0, since its hash is random."""
    parts, bits = [value], 0
    for part in parts:  # the list grows in the loop
        inner = part if isinstance(part, (tuple, frozenset)) else ()
        length = len(part) if isinstance(part, (str, bytes)) else 0
        bits += max(8, part.bit_length()) if isinstance(part, int) else next(
            (number for kind, number in _BITS.items() if isinstance(part, kind)), 8)
        if len(parts) + len(inner) > _MAX_PARTS or length > _MAX_TEXT or bits > _MAX_BITS:
            raise pickle.UnpicklingError('a key that is too large')
        parts += inner
    return bits


def check_sizes(numbers: Any) -> tuple[int, ...]:
    """Check the sizes or strides of a tensor or an array: at most 64 integers from 0 to 2**63 - 1."""
    if not isinstance(numbers, (tuple, list)) or len(numbers) > 64 or not all(
            type(number) is int and 0 <= number < 2 ** 63 for number in numbers):
        raise pickle.UnpicklingError('sizes that are not integers from 0 to 2**63 - 1')
    return tuple(numbers)


def check_tree(value: Any, size: int) -> None:
    """Refuse containers that are nested too deep, contain themselves, or share parts so that copies fill the memory.

    Args:
        value (Any): Result of an unpickler.
        size (int): Size of the pickle in bytes.

    Raises:
        pickle.UnpicklingError: If the value is refused.
    """
    measured = {}

    def measure(part: Any, depth: int) -> tuple[int, int]:
        """Return the number of values, shared ones counted each time, and the depth of a part."""
        if not (children := children_of(part)):
            return 1, 0
        if id(part) not in measured and depth < MAX_DEPTH:
            counts, depths = zip(*(measure(child, depth + 1) for child in children))
            measured[id(part)] = 1 + sum(counts), 1 + max(depths)
        count, below = measured.get(id(part), (1, MAX_DEPTH))
        if depth + below > MAX_DEPTH:
            raise pickle.UnpicklingError(f'containers that are nested more than {MAX_DEPTH} levels deep')
        return count, below

    if measure(value, 0)[0] > MAX_GROWTH * (size + 1000):
        raise pickle.UnpicklingError('shared objects whose copies would fill the memory')


def children_of(part: Any) -> Iterable[Any]:
    """Return the entries of a container; a stand-in has none."""
    if isinstance(part, dict):
        return [*part.values(), *getattr(part, '__dict__', {}).values()]  # _metadata of a state dict
    if isinstance(part, np.ndarray):
        return part.ravel().tolist() if part.dtype.hasobject else ()
    return part if isinstance(part, (list, tuple, deque, set, frozenset)) else ()


def of_type(value: Any, *kinds: type) -> Any:
    """Return a value; refuse it unless its type is exactly one of the given types."""
    if type(value) not in kinds:
        raise pickle.UnpicklingError(f'a {type(value).__name__} instead of a {kinds[0].__name__}')
    return value


def short(value: Any) -> str:
    """Format any value for a message: one line of at most 100 printable characters."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return ''.join(filter(str.isprintable, ' '.join(text[:1000].split())))[:100]

"""Bounds on what a stranger's pickle may make: memory, depth, keys, and the length of messages."""
import pickle
import reprlib
from collections import deque
from collections.abc import Iterable
from typing import Any

MAX_DEPTH = 100  # containers in containers
MAX_KEY = 1000  # values in a tuple that is a key
FREE_BYTES = 2 ** 26
MAX_GROWTH = 32


class Budget:
    """Memory that the contents of a file may take.

    Args:
        size (int): Bytes of the file. The memory may be MAX_GROWTH times as much, and FREE_BYTES.
    """

    def __init__(self, size: int) -> None:
        self.left = FREE_BYTES + MAX_GROWTH * size

    def spend(self, size: int) -> None:
        """Take some bytes, or refuse the file."""
        self.left -= size
        if self.left < 0:
            raise pickle.UnpicklingError('its contents take more memory than a file of this size should')

    def copy(self, values: Iterable[Any]) -> None:
        """Take what a copy of the values needs at most."""
        self.spend(sum(len(value) * (1 if type(value) in (str, bytes, bytearray) else 64) for value in values
                       if isinstance(value, (str, bytes, bytearray, list, tuple, dict, set, frozenset, deque))))


def check_tree(value: Any, size: int) -> None:
    """Refuse containers that are nested deeply, hold themselves, or would fill the memory if written out.

    Args:
        value (Any): Of an unpickler.
        size (int): Bytes of the pickle.
    """
    counts, above = {}, set()

    def count(part: Any, depth: int) -> int:
        children = children_of(part)
        if not children or id(part) in counts:
            return counts.get(id(part), 1)
        if depth > MAX_DEPTH or id(part) in above:
            raise pickle.UnpicklingError(f'containers are nested more than {MAX_DEPTH} deep')
        above.add(id(part))
        counts[id(part)] = 1 + sum(count(child, depth + 1) for child in children)
        above.discard(id(part))
        return counts[id(part)]

    if count(value, 0) > MAX_GROWTH * (size + 1000):
        raise pickle.UnpicklingError('shared objects would fill the memory if they were written out')


def children_of(part: Any) -> Iterable[Any]:
    """Entries of a container; a stand-in counts as none."""
    if isinstance(part, dict):
        return part.values()
    return part if isinstance(part, (list, tuple, deque, set, frozenset)) else ()


def key(value: Any, budget: list[int] | None = None, depth: int = 0) -> Any:
    """The key of a dict or the entry of a set, if its hash can be computed in a short time."""
    budget = [MAX_KEY] if budget is None else budget
    budget[0] -= 1
    if budget[0] < 0 or depth > 10 or type(value) is int and abs(value) >> 60:  # large integers can share one hash
        raise pickle.UnpicklingError('a key that is no name')
    if isinstance(value, (tuple, frozenset)):
        for part in value:
            key(part, budget, depth + 1)
    return value


def of_type(value: Any, *kinds: type) -> Any:
    """The value, if it is exactly of one of the types."""
    if type(value) not in kinds:
        raise pickle.UnpicklingError(f'a {type(value).__name__} in the place of a {kinds[0].__name__}')
    return value


def short(value: Any) -> str:
    """A value for a message, on a line of at most 100 characters, however deep or long it is."""
    text = value if isinstance(value, str) else reprlib.repr(value)
    return ' '.join(text[:1000].split())[:100]

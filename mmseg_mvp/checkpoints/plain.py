"""Checkpoints of plain data, which any torch reads by ``weights_only=True``: tensors, numbers, text, lists, dicts.

mmengine saves objects beside the weights: logs, counters of schedulers, all that a data set's metainfo holds.
:func:`to_plain` turns them into plain values of the same meaning (a ``Path`` into text, a ``Counter`` into a dict) and
notes their types under :data:`TYPES`, by which :func:`from_plain` restores them. An object of a subclass becomes one of
the type that :data:`~mmseg_mvp.checkpoints.kinds.KINDS` names. Functions and other objects are not data: a resumed run
has those that it is built with.
"""
import functools
import inspect
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import of_type, short
from mmseg_mvp.unpickling.limits import Budget, key

from .kinds import KINDS, PAIRS

TYPES = 'types_of_plain_values'
_MAX_DEPTH = 100  # as the reader of checkpoints has it
_LEAVES = (type(None), bool, int, float, str, Tensor)
_MAX_KEY = 2 ** 60  # larger integers can share one hash, so the reader takes none as keys


def to_plain(checkpoint: dict) -> tuple[dict, list[str]]:
    """A checkpoint of plain values.

    Args:
        checkpoint (dict): As mmengine saves it.

    Returns:
        tuple[dict, list[str]]: The same with :data:`TYPES`, and the places of what is neither data nor a function.
    """
    writer = _Writer()
    plain = writer.parts_of(checkpoint, ())
    return {**plain, TYPES: writer.types}, writer.lost


class _Omitted:
    """In the place of what is not saved."""


class _Writer:
    """Turns values into plain ones.

    Attributes:
        types (list): Kind and place of each object, those that hold others first.
        lost (list[str]): Places of what is no data.
    """

    def __init__(self) -> None:
        self.types, self.lost, self.above = [], [], set()

    def plain(self, value: Any, place: tuple, inner: bool = False) -> Any:
        """The plain value at a place; inner ones are parts of an object, which is lost with them."""
        if type(value) in _LEAVES:
            return value
        noted = len(self.types)
        try:
            return self._below(value, place)
        except Exception:  # of objects that only look like those of a kind
            del self.types[noted:]
            if inner:
                raise
            return self._lose(value, place)

    def _below(self, value: Any, place: tuple) -> Any:
        if id(value) in self.above or len(place) > _MAX_DEPTH:
            raise ValueError('a value that holds itself, or is nested too deep')
        self.above.add(id(value))
        try:
            return self._plain(value, place)
        finally:
            self.above.discard(id(value))

    def _plain(self, value: Any, place: tuple) -> Any:
        name = next((name for name, kind in KINDS.items() if isinstance(value, kind.type)), None)
        if name:
            value = KINDS[name].plain(value)
            KINDS[name].restore(value)  # what could not be restored is not saved
            self.types.append([name, list(place)])
        if isinstance(value, (dict, list, tuple)):
            return self.parts_of(value, place, bool(name))
        for base in (bool, int, float, str):  # subclasses, such as members of an IntEnum
            if isinstance(value, base):
                return base(value)
        if isinstance(value, nn.Parameter):
            return nn.Parameter(value.data, value.requires_grad)  # without attributes, which few torches read
        return value.as_subclass(Tensor) if isinstance(value, Tensor) else self._lose(value, place)

    def parts_of(self, value: dict | list | tuple, place: tuple, inner: bool = False) -> dict | list | tuple:
        """A container with plain values."""
        if isinstance(value, dict):
            return self._dict(value, place, inner)
        parts = [self.plain(part, (*place, index), inner) for index, part in enumerate(value)]
        parts = [None if part is _Omitted else part for part in parts]
        return tuple(parts) if isinstance(value, tuple) else parts

    def _dict(self, value: dict, place: tuple, inner: bool) -> dict | list:
        ordered = isinstance(value, OrderedDict)
        if not all(map(_is_name, value)):
            self.types.append(['ordered pairs' if ordered else 'pairs', list(place)])
            return self._pairs(value, place)
        parts = {name: self.plain(part, (*place, name), inner) for name, part in value.items()}
        parts = {name: part for name, part in parts.items() if part is not _Omitted}
        if not ordered:
            return parts
        parts = OrderedDict(parts)
        if hasattr(value, '_metadata'):  # versions of a model's modules
            parts._metadata = _Writer().parts_of(value._metadata, ())
        return parts

    def _pairs(self, value: dict, place: tuple) -> list:
        pairs = []
        if len(place) == _MAX_DEPTH:
            raise ValueError('pairs that are nested too deep')
        for pair in value.items():
            noted = len(self.types)
            parts = [self.plain(part, (*place, len(pairs), side)) for side, part in enumerate(pair)]
            if any(part is _Omitted for part in parts):
                del self.types[noted:]
            else:
                pairs.append(parts)
        return pairs

    def _lose(self, value: Any, place: tuple) -> type:
        if not (inspect.isroutine(value) or isinstance(value, (type, functools.partial))):
            self.lost.append(f'{".".join(map(str, place))} ({type(value).__module__}.{type(value).__name__})')
        return _Omitted


def _is_name(name: Any) -> bool:
    """True of keys that the places of values can name, and that each reader takes."""
    return type(name) in (str, bool, type(None)) or type(name) is int and abs(name) < _MAX_KEY


def from_plain(checkpoint: dict) -> dict:
    """A checkpoint with the objects that :func:`to_plain` turned into plain values; any other as it is.

    Args:
        checkpoint (dict): As read. Its lists and dicts are changed.

    Returns:
        dict: As mmengine saves it.

    Raises:
        UserError: If the notes on types don't fit the values. Notes on values that someone has removed don't count.
    """
    if not (isinstance(checkpoint, dict) and TYPES in checkpoint):
        return checkpoint
    checkpoint = dict(checkpoint)
    try:
        notes = _Notes()
        for name, place in of_type(checkpoint.pop(TYPES), list):
            notes.add(name, place)
        return _Reader().restored(checkpoint, notes)
    except Exception as error:  # a note of a stranger can be wrong in many ways
        raise UserError(f'The objects of a checkpoint can\'t be restored ({type(error).__name__}: '
                        f'{short(str(error))}): its {TYPES} don\'t fit its values; copy the file again.') from error


class _Notes:
    """Notes on a value.

    Attributes:
        names (list[str]): Its kind, and whether a dict is written as pairs, the outer type first.
        parts (dict[Any, _Notes]): Those on its parts.
    """

    def __init__(self) -> None:
        self.names, self.parts = [], {}

    def add(self, name: str, place: list) -> None:
        notes = self
        if len(of_type(place, list)) > _MAX_DEPTH:
            raise ValueError('a value that is nested too deep')
        for part in place:
            part = key(of_type(part, str, int, bool, type(None)))
            notes = notes.parts.setdefault(part, _Notes())
        if notes.names and (len(notes.names) > 1 or name not in PAIRS):
            raise ValueError('a value of two types')
        notes.names.append(name)


class _Reader:
    """Restores values. Objects of text or bytes that several places share would take more memory than the file."""

    def __init__(self) -> None:
        self.budget, self.seen = Budget(0), {}

    def restored(self, value: Any, notes: _Notes) -> Any:
        """A value whose parts and types the notes name."""
        if notes.parts:
            value = self._with_parts(value, notes.parts)
        for name in reversed(notes.names):
            self._count(value)
            value = (PAIRS[name] if name in PAIRS else KINDS[name].restore)(value)
        return value

    def _with_parts(self, value: Any, notes: dict[Any, _Notes]) -> Any:
        target = list(value) if type(value) is tuple else of_type(value, dict, OrderedDict, list)
        for part, below in notes.items():
            if type(target) is list or part in target:
                target[part] = self.restored(target[part], below)
        return tuple(target) if type(value) is tuple else target

    def _count(self, value: Any) -> None:
        part = value.get('bytes') if type(value) is dict else value
        if isinstance(part, (str, Tensor)):
            if id(part) in self.seen:
                self.budget.spend(len(part) if isinstance(part, str) else part.numel())
            self.seen[id(part)] = part


def same_data(one: Any, other: Any) -> bool:
    """True if two values become the same plain values of the same types, bit for bit."""
    return _equal(*(to_plain(dict(value=value))[0] for value in (one, other)))


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return _equal_tensors(one, other) if isinstance(one, Tensor) else one == other or one != one and other != other


def _equal_tensors(one: Tensor, other: Tensor) -> bool:
    try:
        return one.dtype == other.dtype and torch.equal(one.cpu(), other.cpu())
    except RuntimeError:  # of sparse ones, for example
        return False

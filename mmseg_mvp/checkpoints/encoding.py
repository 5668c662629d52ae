"""Conversion of checkpoints to plain data (tensors, numbers, text, lists, dicts), readable by ``weights_only=True``.

mmengine saves objects besides the weights: logs, counters of schedulers, the metainfo of data sets.
:func:`encode_checkpoint` converts them to plain values (a ``Path`` to text, a ``Counter`` to a dict) and stores their
types under :data:`TYPES`. :func:`decode_checkpoint` restores them from these types. An object of a subclass is restored
as the base type in :data:`~mmseg_mvp.checkpoints.kinds.KINDS`. Functions and other objects are omitted; a resumed run
uses those it was built with.
"""
import functools
import inspect
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import of_type, short
from mmseg_mvp.unpickling.limits import Budget, check_key

from .kinds import KINDS, PAIRS

TYPES = 'types_of_plain_values'
_MAX_DEPTH = 90  # below the limit of the reader of checkpoints
_LEAVES = (type(None), bool, int, float, str, Tensor)
_MAX_KEY, _MAX_NAME = 2 ** 60, 2 ** 12  # the reader accepts few larger keys, since they can share one hash


def encode_checkpoint(checkpoint: dict) -> tuple[dict, list[str]]:
    """Convert a checkpoint to plain values.

    Args:
        checkpoint (dict): Checkpoint as mmengine saves it.

    Returns:
        tuple[dict, list[str]]: Plain checkpoint with :data:`TYPES`, and the places of omitted objects other than
            functions and classes.
    """
    encoder = _Encoder()
    plain = encoder.parts_of(checkpoint, ())
    return {**plain, TYPES: encoder.types}, encoder.lost


class _Omitted:
    """Marker of a value that is not saved."""


class _Encoder:
    """Converter of values to plain values.

    Attributes:
        types (list): Kind and place of each object; containers precede their parts.
        lost (list[str]): Places of omitted objects.
    """

    def __init__(self) -> None:
        self.types, self.lost, self.above = [], [], set()

    def encode(self, value: Any, place: tuple, inner: bool = False) -> Any:
        """Convert the value at a place. Inner values are parts of an object; an error in one omits the whole object."""
        if type(value) in _LEAVES:
            return value
        noted = len(self.types)
        try:
            return self._below(value, place)
        except Exception:  # the object has the type of a kind, but other contents
            del self.types[noted:]
            if inner:
                raise
            return self._lose(value, place)

    def _below(self, value: Any, place: tuple) -> Any:
        if id(value) in self.above or len(place) > _MAX_DEPTH:
            raise ValueError('a value that contains itself or is nested too deeply')
        self.above.add(id(value))
        try:
            return self._encode(value, place)
        finally:
            self.above.discard(id(value))

    def _encode(self, value: Any, place: tuple) -> Any:
        name = next((name for name, kind in KINDS.items() if isinstance(value, kind.type)), None)
        if name:
            value = KINDS[name].encode(value)
            KINDS[name].decode(value)  # raises an error if the value can't be restored
            self.types.append([name, list(place)])
        if isinstance(value, (dict, list, tuple)):
            return self.parts_of(value, place, bool(name))
        for base in (bool, int, float, str):  # subclasses, such as members of an IntEnum
            if isinstance(value, base):
                return base(value)
        if isinstance(value, nn.Parameter):
            return nn.Parameter(value.data, value.requires_grad)  # drops attributes, which few torch versions read
        return value.as_subclass(Tensor) if isinstance(value, Tensor) else self._lose(value, place)

    def parts_of(self, value: dict | list | tuple, place: tuple, inner: bool = False) -> dict | list | tuple:
        """Convert the parts of a container to plain values."""
        if isinstance(value, dict):
            return self._dict(value, place, inner)
        parts = [self.encode(part, (*place, index), inner) for index, part in enumerate(value)]
        parts = [None if part is _Omitted else part for part in parts]
        return tuple(parts) if isinstance(value, tuple) else parts

    def _dict(self, value: dict, place: tuple, inner: bool) -> dict | list:
        ordered = isinstance(value, OrderedDict)
        if not all(map(_is_name, value)):
            self.types.append(['ordered pairs' if ordered else 'pairs', list(place)])
            return self._pairs(value, place)
        parts = {name: self.encode(part, (*place, name), inner) for name, part in value.items()}
        parts = {name: part for name, part in parts.items() if part is not _Omitted}
        if not ordered:
            return parts
        parts = OrderedDict(parts)
        if hasattr(value, '_metadata'):  # versions of a model's modules
            parts._metadata = _Encoder().parts_of(value._metadata, ())
        return parts

    def _pairs(self, value: dict, place: tuple) -> list:
        pairs = []
        if len(place) == _MAX_DEPTH:
            raise ValueError('pairs that are nested too deeply')
        for pair in value.items():
            noted = len(self.types)
            parts = [self.encode(part, (*place, len(pairs), side)) for side, part in enumerate(pair)]
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
    """True if a key can be part of a place and all readers accept it."""
    if type(name) is int:
        return abs(name) < _MAX_KEY
    return type(name) in (bool, type(None)) or type(name) is str and len(name) < _MAX_NAME


def decode_checkpoint(checkpoint: dict) -> dict:
    """Restore the objects that :func:`encode_checkpoint` converted; return other checkpoints unchanged.

    Args:
        checkpoint (dict): Checkpoint as read. Its lists and dicts are changed in place.

    Returns:
        dict: Checkpoint as mmengine saves it.

    Raises:
        UserError: If the stored types do not fit the values. Types of removed dict entries are ignored.
    """
    if not (isinstance(checkpoint, dict) and TYPES in checkpoint):
        return checkpoint
    checkpoint = dict(checkpoint)
    try:
        types = _Types()
        for name, place in of_type(checkpoint.pop(TYPES), list):
            types.add(name, place)
        return _Decoder().decode(checkpoint, types)
    except Exception as error:  # types in an untrusted file can be wrong in many ways
        raise UserError(f'The objects of a checkpoint can\'t be restored ({type(error).__name__}: '
                        f'{short(str(error))}): its {TYPES} do not fit its values; copy the file again.') from error


class _Types:
    """Stored types of a value and its parts.

    Attributes:
        names (list[str]): Kind of the value, and ``'pairs'`` or ``'ordered pairs'`` for a dict stored as pairs; the
            outer type is first.
        parts (dict[Any, _Types]): Stored types of the parts.
    """

    def __init__(self) -> None:
        self.names, self.parts = [], {}

    def add(self, name: str, place: list) -> None:
        types = self
        if len(of_type(place, list)) > _MAX_DEPTH:
            raise ValueError('a value that is nested too deeply')
        for part in place:
            part = check_key(of_type(part, str, int, bool, type(None)))
            types = types.parts.setdefault(part, _Types())
        if types.names and (len(types.names) > 1 or name not in PAIRS):
            raise ValueError('two types for one value')
        types.names.append(name)


class _Decoder:
    """Converter of plain values to objects. A budget limits copies of text or bytes that several places share."""

    def __init__(self) -> None:
        self.budget, self.seen = Budget(0), {}

    def decode(self, value: Any, types: _Types) -> Any:
        """Restore a value and its parts to their stored types."""
        if types.parts:
            value = self._with_parts(value, types.parts)
        for name in reversed(types.names):
            self._count(value)
            value = (PAIRS[name] if name in PAIRS else KINDS[name].decode)(value)
        return value

    def _with_parts(self, value: Any, types: dict[Any, _Types]) -> Any:
        target = list(value) if type(value) is tuple else of_type(value, dict, OrderedDict, list)
        for part, below in types.items():
            if type(target) is list or part in target:
                target[part] = self.decode(target[part], below)
        return tuple(target) if type(value) is tuple else target

    def _count(self, value: Any) -> None:
        part = value.get('bytes') if type(value) is dict else value
        if isinstance(part, (str, Tensor)):
            if id(part) in self.seen:
                self.budget.spend(len(part) if isinstance(part, str) else part.numel())
            self.seen[id(part)] = part


def same_data(one: Any, other: Any) -> bool:
    """True if :func:`encode_checkpoint` converts two values to equal values of equal types."""
    return _equal(*(encode_checkpoint(dict(value=value))[0] for value in (one, other)))


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
    except RuntimeError:  # sparse tensors, for example
        return False

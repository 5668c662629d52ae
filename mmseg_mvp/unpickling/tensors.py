"""The tensors that a pickle may hold: torch's ``_rebuild_*`` functions, with the checks that a stranger's file needs.

A tensor never reaches beyond its storage, and a storage holds only bytes of the file.
"""
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from .limits import Budget, of_type
from .unpickler import Pending, Reference
from .values import PLAIN_VALUES, Array

_STORAGES = dict(
    Double=torch.float64, Float=torch.float32, Half=torch.float16, BFloat16=torch.bfloat16, Long=torch.int64,
    Int=torch.int32, Short=torch.int16, Char=torch.int8, Byte=torch.uint8, Bool=torch.bool, Untyped=torch.uint8,
    ComplexDouble=torch.complex128, ComplexFloat=torch.complex64, QUInt8=torch.quint8, QInt8=torch.qint8,
    QInt32=torch.qint32, QUInt4x2=torch.quint4x2, QUInt2x4=torch.quint2x4)


class Storage:
    """Memory of tensors, which several may share.

    Args:
        memory (torch.UntypedStorage): On any device.
        dtype (torch.dtype): Of its numbers, as the file says.
    """

    def __init__(self, memory: torch.UntypedStorage, dtype: torch.dtype) -> None:
        self.memory, self.dtype = memory, dtype


def storage_type(kind: Reference) -> torch.dtype:
    """Type of the numbers in a storage, by the name of its class."""
    return _STORAGES[of_type(kind, Reference).name.removesuffix('Storage')]


class Rebuild:
    """Makes tensors.

    Args:
        budget (Budget): Memory of all tensors together, as they appear: an expanded tensor can appear larger than the
            file, and whoever copies it has it written out.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def tensor(self, storage: Storage, offset: int, size: tuple, stride: tuple, grad: bool = False, hooks: Any = None,
               metadata: Any = None) -> Tensor:
        return self._view(storage, offset, size, stride, storage.dtype, grad, metadata)

    def tensor_of_type(self, storage: Storage, offset: int, size: tuple, stride: tuple, grad: bool, hooks: Any,
                       dtype: torch.dtype, metadata: Any = None) -> Tensor:
        return self._view(storage, offset, size, stride, of_type(dtype, torch.dtype), grad, metadata)

    def _view(self, storage: Storage, offset: int, size: tuple, stride: tuple, dtype: torch.dtype, grad: bool,
              metadata: Any) -> Tensor:
        empty = torch.empty(0, dtype=dtype, device=of_type(storage, Storage).memory.device)
        value = self._placed(empty, storage, offset, size, stride)
        for name, view in (('conj', torch.conj), ('neg', torch._neg_view)):  # kept as a bit, not in the numbers
            if metadata and of_type(metadata, dict).get(name):
                value = view(value)
        return value.requires_grad_(True) if grad is True else value

    def _placed(self, empty: Tensor, storage: Storage, offset: int, size: tuple, stride: tuple) -> Tensor:
        sizes = [of_type(number, int) for numbers in (size, stride, (offset,)) for number in numbers]
        number, width = math.prod(size), empty.element_size()
        last = offset + sum((one - 1) * step for one, step in zip(size, stride, strict=True)) if number else offset - 1
        if min(sizes) < 0 or (last + 1) * width > storage.memory.nbytes():
            raise pickle.UnpicklingError('a tensor that reaches beyond its memory')
        self.budget.spend(number * width)
        return empty.set_(storage.memory, offset, tuple(size), tuple(stride))

    def quantized(self, storage: Storage, offset: int, size: tuple, stride: tuple, quantizer: tuple, *_) -> Tensor:
        scheme, *settings = quantizer
        device, dtype = of_type(storage, Storage).memory.device, storage.dtype
        if scheme == torch.per_tensor_affine:
            empty = torch._empty_affine_quantized([0], scale=settings[0], zero_point=settings[1], dtype=dtype,
                                                  device=device)
        else:
            scales, zeros, axis = settings
            shape = [0 if place == axis else 1 for place in range(len(size))]
            empty = torch._empty_per_channel_affine_quantized(
                [len(of_type(scales, Tensor)) if not one else 0 for one in shape], scales=scales, zero_points=zeros,
                axis=axis, dtype=dtype, device=device)
        return self._placed(empty, storage, offset, size, stride)

    def sparse(self, layout: torch.layout, data: tuple) -> Tensor:
        """A tensor (any shape) of coordinates or of compressed rows or columns."""
        if layout == torch.sparse_coo:
            indices, values, size, *coalesced = data
            value = torch.sparse_coo_tensor(indices, values, size, check_invariants=True)
            return value.coalesce() if coalesced and coalesced[0] is True else value
        outer, inner, values, size = data
        return torch.sparse_compressed_tensor(outer, inner, values, size, layout=layout, check_invariants=True)

    def meta(self, dtype: torch.dtype, size: tuple, stride: tuple, grad: bool = False) -> Tensor:
        self.budget.spend(math.prod(of_type(size, tuple, torch.Size)) * dtype.itemsize)
        return torch.empty_strided(size, stride, dtype=dtype, device='meta')

    def typed(self, function: Reference, kind: Reference, args: tuple, *_) -> Tensor:
        """A tensor of a class, or with attributes, which are left out."""
        return self.table()[of_type(function, Reference).module, function.name](*of_type(args, tuple))

    def table(self) -> dict[tuple[str, str], Callable]:
        """The functions by their names in pickles."""
        return {
            **{('torch._utils', f'_rebuild_{name}'): function for name, function in (
                ('tensor', self.tensor), ('tensor_v2', self.tensor), ('tensor_v3', self.tensor_of_type),
                ('qtensor', self.quantized), ('sparse_tensor', self.sparse), ('sparse_csr_tensor', self.sparse),
                ('meta_tensor_no_storage', self.meta), ('parameter', _parameter),
                ('parameter_with_state', _parameter))},
            ('torch._tensor', '_rebuild_from_type_v2'): self.typed,
        }


def _parameter(data: Tensor, grad: bool = True, *_) -> nn.Parameter:
    return nn.Parameter(of_type(data, Tensor), grad is True)


class Log(HistoryBuffer, Pending):
    """mmengine's log of a quantity to be, without the functions that a pickle names to work it out by."""

    def restore(self, state: dict) -> None:
        logs, counts = (of_type(state[name], Array) for name in ('_log_history', '_count_history'))
        HistoryBuffer.__init__(self, logs, counts, of_type(state['max_length'], int))
        self.__class__ = HistoryBuffer


def _size(sizes: tuple = ()) -> torch.Size:
    return torch.Size([of_type(size, int) for size in of_type(sizes, tuple, list)])


def _device(kind: str, *index: int) -> torch.device:
    return torch.device(of_type(kind, str), *[of_type(number, int) for number in index])


def _layout(name: str) -> torch.layout:
    return _NAMED['torch', of_type(name, str).removeprefix('torch.')]


def _first(value: Any, *_) -> Any:
    return value


_NAMED = {('torch', name): value for name, value in vars(torch).items()
          if isinstance(value, (torch.dtype, torch.layout, torch.qscheme))}
_VALUES = {
    **PLAIN_VALUES, **_NAMED,
    ('torch', 'Size'): _size,
    ('torch', 'device'): _device,
    ('torch.serialization', '_get_layout'): _layout,
    **{('torch.jit._pickle', name): _first for name in (
        'build_boollist', 'build_doublelist', 'build_intlist', 'build_tensorlist', 'restore_type_tag')},
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): Log,
}


def tensor_values(budget: Budget) -> Mapping[tuple[str, str], Any]:
    """The values that a checkpoint may hold, made within a budget."""
    return {**_VALUES, **Rebuild(budget).table()}

"""Tensors in pickles: replacements of torch's ``_rebuild_*`` functions, with checks for untrusted files.

A tensor never reaches beyond its storage, and a storage holds only bytes of the file.
"""
import math
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from .limits import Budget, check_sizes, of_type
from .unpickler import Reference, StandIn
from .values import PLAIN_VALUES

_STORAGES = dict(
    Double=torch.float64, Float=torch.float32, Half=torch.float16, BFloat16=torch.bfloat16, Long=torch.int64,
    Int=torch.int32, Short=torch.int16, Char=torch.int8, Byte=torch.uint8, Bool=torch.bool, Untyped=torch.uint8,
    ComplexDouble=torch.complex128, ComplexFloat=torch.complex64, QUInt8=torch.quint8, QInt8=torch.qint8,
    QInt32=torch.qint32, QUInt4x2=torch.quint4x2, QUInt2x4=torch.quint2x4)


class Storage(StandIn):
    """Memory of one or more tensors.

    Args:
        memory (torch.UntypedStorage): Memory on any device.
        dtype (torch.dtype): Dtype of the storage in the file.
    """

    def __init__(self, memory: torch.UntypedStorage, dtype: torch.dtype) -> None:
        super().__init__('torch.UntypedStorage')
        self.memory, self.dtype = memory, dtype


def storage_type(kind: Reference) -> torch.dtype:
    """Return the dtype of a storage, by the name of its class."""
    return _STORAGES[of_type(kind, Reference).name.removesuffix('Storage')]


class Rebuild:
    """Builder of tensors.

    Args:
        budget (Budget): Memory limit of all tensors, by their shapes. An expanded tensor can have a larger shape than
            its storage, and a copy needs memory for the whole shape.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def tensor(self, storage: Storage, offset: int, size: tuple, stride: tuple, grad: bool = False, hooks: Any = None,
               metadata: Any = None) -> Tensor:
        return self._view(storage, offset, size, stride, of_type(storage, Storage).dtype, grad, metadata)

    def tensor_of_type(self, storage: Storage, offset: int, size: tuple, stride: tuple, grad: bool, hooks: Any,
                       dtype: torch.dtype, metadata: Any = None) -> Tensor:
        return self._view(storage, offset, size, stride, of_type(dtype, torch.dtype), grad, metadata)

    def _view(self, storage: Storage, offset: int, size: tuple, stride: tuple, dtype: torch.dtype, grad: bool,
              metadata: Any) -> Tensor:
        empty = torch.empty(0, dtype=dtype, device=of_type(storage, Storage).memory.device)
        if empty.is_quantized:
            raise pickle.UnpicklingError('a quantized tensor without a scale')
        value = self._placed(empty, storage, offset, size, stride)
        for name, view in (('conj', torch.conj), ('neg', torch._neg_view)):  # stored as a flag, not in the values
            if metadata is not None and of_type(metadata, dict).get(name) is True:
                value = view(value)
        return value.requires_grad_(True) if grad is True else value

    def _placed(self, empty: Tensor, storage: Storage, offset: int, size: tuple, stride: tuple) -> Tensor:
        size, stride, (offset, ) = check_sizes(size), check_sizes(stride), check_sizes((offset, ))
        number, width = math.prod(size), empty.element_size()
        last = offset + sum((one - 1) * step for one, step in zip(size, stride, strict=True)) if number else offset - 1
        if (last + 1) * width > storage.memory.nbytes():
            raise pickle.UnpicklingError('a tensor that reaches beyond its memory')
        self.budget.spend(number * width)
        return empty.set_(storage.memory, offset, size, stride)

    def quantized(self, storage: Storage, offset: int, size: tuple, stride: tuple, quantizer: tuple, *_) -> Tensor:
        scheme, *settings = of_type(quantizer, tuple)
        about = dict(dtype=of_type(storage, Storage).dtype, device=storage.memory.device)
        if scheme is torch.per_tensor_affine:
            scale, zero = settings
            empty = torch._empty_affine_quantized([0], scale=scale, zero_point=zero, **about)
        else:
            scales, zeros, axis = settings
            shape = [0] * len(check_sizes(size))
            shape[axis] = size[of_type(axis, int)]
            if [shape[axis]] != list(of_type(scales, Tensor).shape):
                raise pickle.UnpicklingError('a quantized tensor with the scales of another')
            self.budget.spend(16 * (scales.numel() + of_type(zeros, Tensor).numel()))
            empty = torch._empty_per_channel_affine_quantized(
                shape, scales=scales, zero_points=zeros, axis=axis, **about)
        return self._placed(empty, storage, offset, size, stride)

    def sparse(self, layout: torch.layout, data: tuple) -> Tensor:
        """Build a sparse tensor of any shape: coordinates, or compressed rows or columns."""
        tensors = [part for part in of_type(data, tuple) if isinstance(part, Tensor)]
        self.budget.spend(4 * sum(part.numel() * part.element_size() for part in tensors))  # the checks make copies
        if layout is torch.sparse_coo:
            size, *coalesced = data[2:]
            value = torch.sparse_coo_tensor(*tensors, check_sizes(size), check_invariants=True)
            return value.coalesce() if coalesced == [True] else value
        return torch.sparse_compressed_tensor(*tensors, check_sizes(data[3]), layout=layout, check_invariants=True)

    def meta(self, dtype: torch.dtype, size: tuple, stride: tuple, grad: bool = False) -> Tensor:
        self.budget.spend(math.prod(check_sizes(size)) * of_type(dtype, torch.dtype).itemsize)
        return torch.empty_strided(size, check_sizes(stride), dtype=dtype, device='meta')

    def typed(self, function: Reference, kind: Reference, args: tuple, *_) -> Tensor:
        """Build a tensor that has a subclass or attributes; both are omitted."""
        self.budget.copy(of_type(args, tuple))
        return self.table()[of_type(function, Reference).module, function.name](*args)

    def table(self) -> dict[tuple[str, str], Callable]:
        """Return the functions by their names in pickles."""
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


def _log(*_) -> HistoryBuffer:
    return HistoryBuffer()  # filled by its state


def _fill(log: HistoryBuffer, state: dict) -> None:
    """Fill mmengine's log of one quantity with its values; omit the statistics functions that a pickle names."""
    for name, kind in dict(_log_history=np.ndarray, _count_history=np.ndarray, max_length=int).items():
        value = of_type(of_type(state, dict)[name], kind)
        if kind is np.ndarray and value.dtype.kind in 'OV':
            raise pickle.UnpicklingError('a log of objects')
        setattr(log, name, value)


def _size(numbers: tuple = ()) -> torch.Size:
    return torch.Size(check_sizes(numbers))


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
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): _log,
    HistoryBuffer: _fill,
}


def tensor_values(budget: Budget) -> Mapping[Any, Any]:
    """Return the table of values that a checkpoint may hold; tensors count towards the budget."""
    return {**_VALUES, **Rebuild(budget).table()}

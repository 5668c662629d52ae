"""Reads what pickle, ``torch.save`` and ``torch.jit.save`` have written as data: nothing in a file runs.

``torch.load(weights_only=True)`` can't do that for us: up to torch 2.5 it can be made to run code (CVE-2025-32434), and
up to 2.3 it refuses mmengine's logs. As for TorchScript, in which OpenAI has published CLIP, ``torch.jit.load`` runs a
file's own ``__setstate__``.
"""
import io
import os
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version
from torch import Tensor, nn

from .errors import UserError


class ForeignError(pickle.UnpicklingError):
    """A pickle holds something else than data."""


class PlainUnpickler(pickle.Unpickler):
    """Refuses whatever a pickle would import, and with it all code. Plain values import nothing.

    Args:
        content (bytes): The pickle.

    Raises:
        pickle.UnpicklingError: If its table of objects would fill the memory; a ForeignError on loading, with what the
            pickle asks for.
    """

    def __init__(self, content: bytes) -> None:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name.endswith('PUT') and argument > len(content):
                raise pickle.UnpicklingError(f'a place {argument} in a table of fewer objects')
        super().__init__(io.BytesIO(content))

    def find_class(self, module: str, name: str) -> None:
        raise ForeignError(f'it asks for {module}.{name}')


class StandIn(OrderedDict):
    """An object of a class that is not imported: its items are those of a dict, its attributes those of a namespace."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        vars(self).update(state if isinstance(state, dict) else {})


class ArchiveUnpickler(PlainUnpickler):
    """Unpickles the archives of ``torch.save`` and ``torch.jit.save``: tensors, numbers and plain values.

    Args:
        archive (zipfile.ZipFile): The archive.
        device (str | torch.device): Where tensors go.
        stand_in_for (tuple[str]): How the modules begin whose classes a :class:`StandIn` takes the place of.
    """

    def __init__(self, archive: zipfile.ZipFile, device: str | torch.device, stand_in_for: tuple[str, ...]) -> None:
        names = [name for name in archive.namelist() if name.endswith('/data.pkl')]
        if not names:
            raise zipfile.BadZipFile('There is no data.pkl in it')
        self.archive, self.folder = archive, os.path.dirname(names[0])
        self.device, self.stand_in_for, self.storages = device, stand_in_for, {}
        super().__init__(self._record('data.pkl'))

    def find_class(self, module: str, name: str) -> object:
        if module.startswith(self.stand_in_for):
            return StandIn
        return KNOWN[module, name] if (module, name) in KNOWN else super().find_class(module, name)

    def persistent_load(self, pid: tuple) -> Tensor:
        """A tensor's memory, (N,), which several may share."""
        _, dtype, key, *_ = pid
        if key not in self.storages:
            memory = bytearray(self._record(f'data/{key}'))
            storage = torch.frombuffer(memory, dtype=torch.uint8).view(dtype) if memory else torch.empty(0, dtype=dtype)
            self.storages[key] = storage.to(self.device)
        return self.storages[key]

    def _record(self, name: str) -> bytes:
        info = self.archive.getinfo(f'{self.folder}/{name}')
        if info.compress_type != zipfile.ZIP_STORED:  # a small file could fill the memory
            raise zipfile.BadZipFile(f'{name} is compressed')
        return self.archive.read(info)


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, requires_grad: bool = False, *_) -> Tensor:
    return storage.as_strided(size, stride, offset).requires_grad_(requires_grad)


def _parameter(data: Tensor, requires_grad: bool, *_) -> nn.Parameter:
    return nn.Parameter(data, requires_grad)


class _NumberType:
    """Takes the place of numpy's dtype, which a pickle could make one of objects, or change for the whole process."""

    def __init__(self, code: str, *_) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in 'biufc':
            raise ForeignError(f'it asks for arrays of {self.dtype}')

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose type comes as :class:`_NumberType`; it is pickled as numpy's own."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, number, fortran, data = state
        super().__setstate__((version, shape, number.dtype, fortran, data))

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _array(*_) -> _Array:
    return _Array(0)  # its state says the rest


def _number(number: _NumberType, data: bytes) -> np.number:
    return np.frombuffer(data, number.dtype, 1)[0]


class _History(HistoryBuffer):
    """Becomes mmengine's log of a quantity, without the functions that a pickle names to work it out by."""

    def __setstate__(self, state: dict) -> None:
        self.__class__ = HistoryBuffer
        HistoryBuffer.__init__(self, state['_log_history'], state['_count_history'], state['max_length'])


def _bytes(text: str = '', *_) -> bytes:
    return text.encode('latin1')  # how pickles of protocol 2 hold bytes


def _none(*_) -> None:
    """Takes the place of getattr, by which logs name their functions."""


def _first(value: object, *_) -> object:
    return value


_STORAGES = dict(
    Double=torch.float64, Float=torch.float32, Half=torch.float16, BFloat16=torch.bfloat16, Long=torch.int64,
    Int=torch.int32, Short=torch.int16, Char=torch.int8, Byte=torch.uint8, Bool=torch.bool,
    ComplexDouble=torch.complex128, ComplexFloat=torch.complex64)
# All that an archive can have called; nothing else is within its reach. It can't change the classes: those of ours have
# a __setstate__, which takes two arguments, the others are fixed.
KNOWN = {
    ('collections', 'OrderedDict'): OrderedDict,
    ('torch', 'Size'): torch.Size,
    ('torch', 'device'): torch.device,
    **{('torch', name): value for name, value in vars(torch).items() if isinstance(value, torch.dtype)},
    **{('torch', f'{name}Storage'): dtype for name, dtype in _STORAGES.items()},
    ('torch._utils', '_rebuild_tensor'): _tensor,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch._utils', '_rebuild_parameter'): _parameter,
    **{('torch.jit._pickle', name): _first for name in (
        'build_boollist', 'build_doublelist', 'build_intlist', 'build_tensorlist', 'restore_type_tag')},
    ('numpy', 'dtype'): _NumberType,
    ('numpy', 'ndarray'): _Array,
    **{(f'numpy.{core}.multiarray', name): value for core in ('core', '_core')
       for name, value in (('_reconstruct', _array), ('scalar', _number))},
    ('mmengine.logging.history_buffer', 'HistoryBuffer'): _History,
    ('_codecs', 'encode'): _bytes,
    **{(builtins, name): value for builtins in ('builtins', '__builtin__')
       for name, value in (('getattr', _none), ('set', set), ('bytes', _bytes), ('complex', complex))},
}


def read_archive(path: str, device: str | torch.device = 'cpu', stand_in_for: tuple[str, ...] = ()) -> object:
    """Read a file of ``torch.save`` or ``torch.jit.save``.

    Args:
        path (str): The file.
        device (str | torch.device): Where its tensors go.
        stand_in_for (tuple[str]): How the modules begin whose objects may be there, as :class:`StandIn` of their
            contents.

    Returns:
        object: What was saved.

    Raises:
        UserError: If the file is damaged, or holds anything else than tensors, numbers and plain values.
    """
    try:
        if not zipfile.is_zipfile(path):
            return _read_old(path, device)
        with zipfile.ZipFile(path) as archive:
            return ArchiveUnpickler(archive, device, stand_in_for).load()
    except ForeignError as error:
        raise UserError(
            f'{path} is not read, since it holds more than tensors, numbers and plain values ({error}), which may run '
            f'code: take a file with a state dict only (if you trust this one, torch.load with weights_only=False '
            f'reads it, and torch.save writes its state dict)') from error
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(f'{path} can\'t be read ({type(error).__name__}: {" ".join(str(error).split())[:100]}): it is '
                        f'truncated or was not written by torch.save; copy or fetch it again') from error


def _read_old(path: str, device: str | torch.device) -> object:
    """Read a file of a torch before 1.6, for which a fair torch of today is needed."""
    if digit_version(torch.__version__) < digit_version('2.6'):
        raise ValueError('only torch 2.6 and later reads files of torch before 1.6 safely')
    try:
        return torch.load(path, device, weights_only=True)
    except pickle.UnpicklingError as error:  # whose text advises to go on without
        if named := re.search(r'GLOBAL (\S+)', str(error)):
            raise ForeignError(f'it asks for {named[1]}') from error
        raise ValueError('neither an archive nor a file of torch before 1.6') from error


def module_tensors(module: StandIn, prefix: str = '') -> Iterator[tuple[str, Tensor]]:
    """Tensors of a TorchScript module that :func:`read_archive` has read, by the names of its state dict.

    Args:
        module (StandIn): Takes the place of the module.
        prefix (str): What names begin with.

    Yields:
        tuple[str, Tensor]: Name and tensor, of any shape.
    """
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, StandIn):
            yield from module_tensors(value, f'{prefix}{name}.')

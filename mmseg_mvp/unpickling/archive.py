"""Reads the files of ``torch.save`` and ``torch.jit.save`` as data: nothing in a file runs.

``torch.load(weights_only=True)`` is not used. Up to torch 2.5 a file can run code by it (CVE-2025-32434). All versions
refuse the objects that checkpoints of the field hold beside weights. A file of 300 bytes fills the memory by it, on
torch 2.15 as well (docs/reliability.md).
"""
import io
import mmap
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

from mmseg_mvp.errors import UserError

from .limits import MAX_DEPTH, Budget, check_tree, of_type, short
from .tensors import Storage, storage_type, tensor_values
from .unpickler import DataUnpickler, ForeignError, Reference, StandIn

MapLocation = str | torch.device | Mapping[str, str] | Callable | None
TRUST = 'if you trust it, add --trust-checkpoint (in Python: with mmseg_mvp.checkpoints.trusted_checkpoints())'

_MAX_ATTRIBUTES = 10 ** 6  # of the modules of a TorchScript file
_ZIP = b'PK\x03\x04'
_MAGIC = 0x1950a86a20f9469cfc6c  # of torch.save before 1.6
_OLD = pickle.dumps(_MAGIC, 2)


class ArchiveUnpickler(DataUnpickler):
    """Unpickles the objects of a file whose storages lie beside the pickle.

    Args:
        file (BinaryIO): The pickle.
        budget (Budget): Memory for the values.
        storage (Callable): Gives the storage of (key, dtype, bytes, location).
    """

    def __init__(self, file: BinaryIO, budget: Budget, storage: Callable[..., Storage]) -> None:
        super().__init__(file, budget, tensor_values(budget))
        self.storage, self.storages = storage, {}

    def persistent_load(self, pid: tuple) -> Storage:
        _, kind, key, location, count, *view = of_type(pid, tuple)
        if view and view[0] is not None:
            raise pickle.UnpicklingError('a view of a storage, as torch before 0.4 wrote it')
        dtype = storage_type(kind)
        if of_type(key, str) not in self.storages:
            size = of_type(count, int) * dtype.itemsize
            self.storages[key] = self.storage(key, dtype, size, of_type(location, str))
        return Storage(self.storages[key].memory, dtype)


class _Survey(ArchiveUnpickler):
    """Goes through a pickle for its storages alone."""

    def make(self, reference: Reference, args: tuple) -> StandIn:
        return StandIn('')


def read_archive(file: str | BinaryIO, map_location: MapLocation = 'cpu') -> Any:
    """Read a file of ``torch.save`` or ``torch.jit.save``.

    Args:
        file (str | BinaryIO): Its path, or the open file.
        map_location (MapLocation): As in ``torch.load``; None is the CPU.

    Returns:
        Any: Tensors, numbers, plain values, arrays and mmengine's logs. Other objects are a :class:`StandIn`, classes
            and functions a :class:`Reference`.

    Raises:
        UserError: If the file is damaged, or calls a function that no data needs.
    """
    path = file if isinstance(file, str) else 'The file'
    place = _mover(map_location)
    try:
        if not isinstance(file, str):
            return _read(file, place)
        with open(file, 'rb') as opened:
            return _read(opened, place)
    except UserError:
        raise
    except ForeignError as error:
        raise UserError(f'{path} is not read, since {error}, which may run code and which no weights need: fetch it '
                        f'from its publisher, or, {TRUST}.') from error
    except Exception as error:  # a damaged file fails in many ways
        raise UserError(f'{path} can\'t be read ({type(error).__name__}: {short(str(error))}): it is truncated or was '
                        f'not written by torch.save; copy or fetch it again.') from error


def is_checkpoint(path: str) -> bool:
    """True if a file begins and ends as those of ``torch.save``."""
    with open(path, 'rb') as file:
        return file.read(len(_OLD)) == _OLD or zipfile.is_zipfile(path)


def _read(file: BinaryIO, place: Callable) -> Any:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(len(_ZIP))
    file.seek(0)
    return _read_zip(file, Budget(size), place) if head == _ZIP else _read_old(file, size, place)


def _read_zip(file: BinaryIO, budget: Budget, place: Callable) -> Any:
    with zipfile.ZipFile(file) as archive:
        records = {info.filename: info for info in archive.infolist()}
        name = next((name for name in records if name.endswith('/data.pkl')), None)
        if name is None or len(records) < len(archive.infolist()):
            raise zipfile.BadZipFile('no data.pkl in it, or a name twice')
        if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in records.values()):
            raise zipfile.BadZipFile('packed by another method than deflate')
        folder = os.path.dirname(name)

        def record(name: str) -> bytes:
            budget.spend(records[f'{folder}/{name}'].file_size)
            return archive.read(f'{folder}/{name}')

        order = record('byteorder').decode() if f'{folder}/byteorder' in records else sys.byteorder
        content = record('data.pkl')
        value = ArchiveUnpickler(
            io.BytesIO(content), budget,
            lambda key, dtype, size, location: _storage(record(f'data/{key}'), dtype, order, place, location)).load()
    check_tree(value, len(content))
    return value


def _read_old(file: BinaryIO, size: int, place: Callable) -> Any:
    """Read a file of a torch before 1.6: some pickles, then each storage as its length and its bytes."""
    if not size:
        raise EOFError('it is empty')
    # Both return what is there when they are asked for more, and reserve nothing.
    data = file if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if DataUnpickler(data, Budget(0), {}).load() != _MAGIC:
        raise ValueError('neither an archive nor a file of torch before 1.6')
    DataUnpickler(data, Budget(0), {}).load()  # version of the format
    order = 'little' if DataUnpickler(data, Budget(0), {}).load().get('little_endian', True) else 'big'
    start = data.tell()
    storages = _old_storages(data, size, order, place)
    data.seek(start)
    value = ArchiveUnpickler(data, Budget(size), lambda key, *_: storages[key]).load()
    check_tree(value, data.tell() - start)
    return value


def _old_storages(data: BinaryIO, size: int, order: str, place: Callable) -> dict[str, Storage]:
    """All storages by their keys; the file goes on with the objects, then the keys, then the storages."""
    found = {}

    def note(key: str, *about) -> Storage:
        found[key] = about
        return Storage(None, about[0])

    _Survey(data, Budget(size), note).load()
    storages = {}
    for key in of_type(DataUnpickler(data, Budget(size), {}).load(), list):
        dtype, length, location = found.pop(key)
        if int.from_bytes(data.read(8), order) * dtype.itemsize != length:
            raise pickle.UnpicklingError(f'storage {key} has two lengths')
        content = data.read(length)
        if len(content) != length:
            raise EOFError(f'storage {key} is cut off')
        storages[key] = _storage(content, dtype, order, place, location)
    if found:
        raise EOFError(f'{len(found)} storages are missing')
    return storages


def _storage(content: bytes, dtype: torch.dtype, order: str, place: Callable, location: str) -> Storage:
    """A storage of some bytes in an order, on the device where its place in the file is to be."""
    if order not in ('little', 'big'):
        raise ValueError(f'the byte order {short(order)}')
    if not content:
        return Storage(place(torch.UntypedStorage(0), location), dtype)
    memory = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if order != sys.byteorder:
        memory = memory.view(-1, dtype.itemsize // (2 if dtype.is_complex else 1)).flip(1).contiguous()
    return Storage(place(memory.untyped_storage(), location), dtype)


def _mover(map_location: MapLocation) -> Callable[[torch.UntypedStorage, str], torch.UntypedStorage]:
    """A function that brings a storage to its device, as ``torch.load`` does by ``map_location``."""
    if map_location is None or isinstance(map_location, (str, torch.device)):
        return lambda memory, location: _to(memory, str(map_location or 'cpu'))
    if isinstance(map_location, Mapping):
        return lambda memory, location: _to(memory, str(map_location.get(location, location)))
    if not callable(map_location):
        raise UserError(f'map_location is {short(map_location)}: expected a device, a dict of devices, a function or '
                        'None.')

    def move(memory: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
        moved = map_location(memory, location)
        return memory if moved is None else getattr(moved, '_untyped_storage', moved)
    return move


def _to(memory: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
    try:
        return torch.serialization.default_restore_location(memory, location)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'The tensors of a checkpoint can\'t be put on \'{short(location)}\' '
                        f'({short(str(error))}): set map_location to \'cpu\'.') from error


def module_tensors(module: StandIn) -> Iterator[tuple[str, Tensor]]:
    """Tensors of a TorchScript module that :func:`read_archive` has read, by the names of its state dict.

    Args:
        module (StandIn): Takes the place of the module.

    Yields:
        tuple[str, Tensor]: Name and tensor, of any shape.

    Raises:
        pickle.UnpicklingError: If the modules hold each other, as those of no network do.
    """
    waiting, count = [('', module)], 0
    while waiting:
        prefix, module = waiting.pop()
        for name, value in (module.state if isinstance(module.state, dict) else {}).items():
            count += 1
            if count > _MAX_ATTRIBUTES or prefix.count('.') > MAX_DEPTH:
                raise pickle.UnpicklingError('modules that hold each other')
            if isinstance(value, Tensor):
                yield prefix + name, value
            elif isinstance(value, StandIn):
                waiting.append((f'{prefix}{name}.', value))

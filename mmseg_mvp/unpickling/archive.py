"""Reading of ``torch.save`` and ``torch.jit.save`` files as data; no code in a file runs.

``torch.load(weights_only=True)`` is not used, for three reasons. Up to torch 2.5, a file can run code through it
(CVE-2025-32434). All versions refuse objects that common checkpoints hold besides weights. A file of 300 bytes can
fill the memory, on torch 2.15 as well (docs/reliability.md).
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
from mmseg_mvp.utils.files import reason_of_damage

from .limits import Budget, check_sizes, check_tree, of_type, short
from .tensors import Storage, storage_type, tensor_values
from .unpickler import DataUnpickler, ForeignError, Reference, StandIn

MapLocation = str | torch.device | Mapping[str, str] | Callable | None
TRUST = 'if you trust it, add --trust-checkpoint (in Python: with mmseg_mvp.checkpoints.trusted_checkpoints())'

_MAX_ATTRIBUTES = 10 ** 5  # in all modules of a TorchScript file
_MAX_NAME = 500  # characters
_ZIP = b'PK\x03\x04'
_MAGIC = 0x1950a86a20f9469cfc6c  # first value in files of torch.save before 1.6
_OLD = pickle.dumps(_MAGIC, 2)


class ArchiveUnpickler(DataUnpickler):
    """Unpickler of a file whose storages are outside the pickle.

    Args:
        file (BinaryIO): Pickle.
        budget (Budget): Memory limit of the values.
        storage (Callable): Function that returns the storage of (key, dtype, number of bytes, location).
    """

    def __init__(self, file: BinaryIO, budget: Budget, storage: Callable[..., Storage]) -> None:
        super().__init__(file, budget, tensor_values(budget))
        self.storage, self.storages = storage, {}

    def persistent_load(self, pid: tuple) -> Storage | Reference:
        if len(of_type(pid, tuple)) == 4:  # ('module', class, file, its code), before torch 1.6
            return of_type(pid[1], Reference)
        if len(pid) > 6 or pid[5:] and pid[5] is not None:
            raise pickle.UnpicklingError('a view of a storage, as torch before 0.4 wrote it')
        kind, key, location, count = pid[1:5]
        dtype = storage_type(kind)
        if of_type(key, str) not in self.storages:
            size, = check_sizes((count, ))
            self.storages[key] = self.storage(key, dtype, size * dtype.itemsize, of_type(location, str))
        return Storage(self.storages[key].memory, dtype)


class _Survey(ArchiveUnpickler):
    """Unpickler that only collects the storages of a pickle."""

    def make(self, reference: Reference, args: tuple) -> StandIn:
        return StandIn('')


def read_archive(file: str | BinaryIO, map_location: MapLocation = 'cpu') -> Any:
    """Read a file of ``torch.save`` or ``torch.jit.save``.

    Args:
        file (str | BinaryIO): Path or open file.
        map_location (MapLocation): As in ``torch.load``; None selects the CPU.

    Returns:
        Any: Tensors, numbers, plain values, arrays and mmengine's logs. A :class:`StandIn` replaces any other object, a
            :class:`Reference` any class or function.

    Raises:
        UserError: If the file is damaged, or calls a function that data does not need.
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
        raise UserError(f'{path} is not read, because {error}, which may run code and is not needed for weights: '
                        f'fetch it from its publisher, or, {TRUST}.') from error
    except Exception as error:  # a damaged file can raise many types of errors
        reason = reason_of_damage(file, 'it is truncated or was not written by torch.save; copy or download it again')
        raise UserError(f"{path} can't be read ({type(error).__name__}: {short(str(error))}): {reason}.") from error


def is_checkpoint(path: str) -> bool:
    """True if a file starts like an old ``torch.save`` file or has the end record of a zip archive."""
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
            raise zipfile.BadZipFile('no data.pkl in the archive, or two records of one name')
        if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in records.values()):
            raise zipfile.BadZipFile('a compression other than deflate')
        folder = os.path.dirname(name)

        def record(name: str) -> bytes:
            info = records[f'{folder}/{name}']
            if not info.CRC:  # torch's set_crc32_options(False)
                del info.CRC
            budget.spend(info.file_size)
            with archive.open(info) as file:
                return file.read(info.file_size)  # archive.read() can unpack more than the stated size

        order = record('byteorder').decode() if f'{folder}/byteorder' in records else sys.byteorder
        content = record('data.pkl')
        value = ArchiveUnpickler(
            io.BytesIO(content), budget,
            lambda key, dtype, size, location: _storage(record(f'data/{key}'), dtype, order, place, location)).load()
    check_tree(value, len(content))
    return value


def _read_old(file: BinaryIO, size: int, place: Callable) -> Any:
    """Read a file written before torch 1.6: several pickles, then the length and the bytes of each storage."""
    if not size:
        raise EOFError('the file is empty')
    # If asked for more bytes than the file has, both return the rest and allocate no more.
    data = file if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if DataUnpickler(data, Budget(0), {}).load() != _MAGIC:
        raise ValueError('neither a zip archive nor a file of torch before 1.6')
    DataUnpickler(data, Budget(0), {}).load()  # version of the format
    order = 'little' if DataUnpickler(data, Budget(0), {}).load().get('little_endian', True) else 'big'
    start = data.tell()
    storages = _old_storages(data, size, order, place)
    data.seek(start)
    value = ArchiveUnpickler(data, Budget(size), lambda key, *_: storages[key]).load()
    check_tree(value, data.tell() - start)
    return value


def _old_storages(data: BinaryIO, size: int, order: str, place: Callable) -> dict[str, Storage]:
    """Read all storages, by key. From its current position, the file holds the objects, the keys and the storages."""
    found = {}

    def note(key: str, *about) -> Storage:
        found[key] = about
        return Storage(None, about[0])

    _Survey(data, Budget(size), note).load()
    storages = {}
    for key in of_type(DataUnpickler(data, Budget(size), {}).load(), list):
        dtype, length, location = found.pop(of_type(key, str))
        if int.from_bytes(data.read(8), order) * dtype.itemsize != length:
            raise pickle.UnpicklingError(f'storage {key} has two different lengths')
        content = data.read(length)
        if len(content) != length:
            raise EOFError(f'storage {key} is cut off')
        storages[key] = _storage(content, dtype, order, place, location)
    if found:
        raise EOFError(f'{len(found)} storages are missing')
    return storages


def _storage(content: bytes, dtype: torch.dtype, order: str, place: Callable, location: str) -> Storage:
    """Create a storage from bytes in a byte order, on the device that ``place`` selects for a location."""
    if order not in ('little', 'big'):
        raise ValueError(f'unknown byte order {short(order)}')
    if not content:
        return Storage(place(torch.UntypedStorage(0), location), dtype)
    memory = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    if order != sys.byteorder:
        memory = memory.view(-1, dtype.itemsize // (2 if dtype.is_complex else 1)).flip(1).contiguous()
    return Storage(place(memory.untyped_storage(), location), dtype)


def _mover(map_location: MapLocation) -> Callable[[torch.UntypedStorage, str], torch.UntypedStorage]:
    """Return a function that moves a storage to its device, as ``torch.load`` does by ``map_location``."""
    if map_location is None or isinstance(map_location, (str, torch.device)):
        return lambda memory, location: _to(memory, str(map_location or 'cpu'))
    if isinstance(map_location, Mapping):
        return lambda memory, location: _to(memory, str(map_location.get(location, location)))
    if not callable(map_location):
        raise UserError(f'map_location is {short(map_location)}: expected a device, a dict of devices, a function or '
                        'None.')

    def move(memory: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
        moved = map_location(memory, location)
        return _to(memory, location) if moved is None else getattr(moved, '_untyped_storage', moved)
    return move


def _to(memory: torch.UntypedStorage, location: str) -> torch.UntypedStorage:
    try:
        return torch.serialization.default_restore_location(memory, location)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f'The tensors of a checkpoint can\'t be moved to \'{short(location)}\' '
                        f'({short(str(error))}): set map_location to \'cpu\'.') from error


def module_tensors(module: StandIn) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a TorchScript module from :func:`read_archive`, with their names in the state dict.

    Args:
        module (StandIn): Record of the module.

    Yields:
        tuple[str, Tensor]: Name and tensor of any shape.

    Raises:
        pickle.UnpicklingError: If there are too many attributes or a name is too long, as in a cycle of modules.
    """
    return ((name, value) for name, value in _attributes(module) if isinstance(value, Tensor))


def module_classes(module: StandIn) -> set[str]:
    """Return the class names of all submodules of a TorchScript module, such as ``{'QuickGELU'}``."""
    return {value.kind.rsplit('.', 1)[-1] for _, value in _attributes(module) if isinstance(value, StandIn)}


def _attributes(module: StandIn) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a TorchScript module and its submodules. Raise as :func:`module_tensors` does."""
    waiting, count = [('', module)], 0
    while waiting:
        prefix, module = waiting.pop()
        for name, value in (module.state if isinstance(module.state, dict) else {}).items():
            name, count = prefix + of_type(name, str), count + 1
            if count > _MAX_ATTRIBUTES or len(name) > _MAX_NAME:
                raise pickle.UnpicklingError('modules that contain each other')
            yield name, value
            if isinstance(value, StandIn):
                waiting.append((f'{name}.', value))

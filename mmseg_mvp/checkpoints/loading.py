"""Reading of checkpoints as data, from any address that mmengine knows, without changes to mmengine.

mmengine's own loaders find the file (local, URL, model name, object store). Our reader then replaces ``torch.load``.
Our tools, the inferencer and the teacher call :func:`read_checkpoint`. mmseg's tools still read by mmengine.
"""
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, BinaryIO
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader, checkpoint
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import TRUST, MapLocation, NumberType, Reference, StandIn, is_checkpoint, read_archive
from mmseg_mvp.utils.reach import check_checkpoint_address

from .encoding import decode_checkpoint

_FOREIGN = StandIn, Reference, NumberType
_TRUSTED = ContextVar('trusted checkpoints', default=False)


@contextmanager
def trusted_checkpoints(trusted: bool = True) -> Iterator[None]:
    """Read checkpoints in a ``with`` block by mmengine's own loaders, which may run code from a file.

    Args:
        trusted (bool): False keeps the current setting.
    """
    token = _TRUSTED.set(trusted or _TRUSTED.get())
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def read_checkpoint(source: str, map_location: MapLocation = 'cpu') -> dict:
    """Read a checkpoint as data, or by mmengine's loader within :func:`trusted_checkpoints`.

    Args:
        source (str): Path, URL, or any other address that mmengine knows.
        map_location (MapLocation): As in ``torch.load``.

    Returns:
        dict: Checkpoint. If read as data, it omits objects that are neither tensors nor plain values.

    Raises:
        FileNotFoundError: As in mmengine.
        UserError: If the file is damaged, calls a function, or holds no dict of weights.
    """
    return _as_data(CheckpointLoader._get_checkpoint_loader(source))(source, map_location)


def read_file(path: str) -> Any:
    """Read any file of ``torch.save`` or ``torch.jit.save`` as data, see :func:`mmseg_mvp.unpickling.read_archive`.

    Args:
        path (str): Local file. Within :func:`trusted_checkpoints`, ``torch.load`` reads it.
    """
    if not _TRUSTED.get():
        return read_archive(path)
    print_log(f'{path} is trusted: torch.load reads it, and code in it can run.', 'current', level=30)
    return torch.load(path, 'cpu', weights_only=False)


@contextmanager
def checkpoints_as_data(trusted: bool = False) -> Iterator[None]:
    """Read all checkpoints of a process as data, including those the host loads by ``init_cfg`` or ``load_from``.

    Use it only in command line tools, since it affects the whole process. Loaders registered by a user are kept.

    Args:
        trusted (bool): True trusts all checkpoints instead.
    """
    before = dict(CheckpointLoader._schemes)
    ours = {prefix: _as_data(loader) for prefix, loader in before.items()}
    CheckpointLoader._schemes.update(ours)
    try:
        with trusted_checkpoints(trusted):
            yield
    finally:
        CheckpointLoader._schemes.update({prefix: loader for prefix, loader in before.items()
                                          if CheckpointLoader._schemes.get(prefix) is ours[prefix]})


def _as_data(loader: Callable) -> Callable:
    """Convert a host loader to one that reads files as data unless they are trusted; return other loaders unchanged."""
    if getattr(loader, '__globals__', None) is not vars(checkpoint):
        return loader
    names = dict(_safe_torch_load=_read, load_url=_read_url,
                 torch=SimpleNamespace(load=_read, distributed=torch.distributed))
    names['load_from_http'] = _with_names(checkpoint.load_from_http, names)
    data_loader = _with_names(loader, names)

    def load(filename: str, map_location: MapLocation = None) -> dict:
        if not _TRUSTED.get():
            return data_loader(filename, map_location)
        print_log(f'{filename} is trusted: mmengine reads it, and code in it can run.', 'current', level=30)
        return decode_checkpoint(loader(filename, map_location))

    load.__name__ = loader.__name__  # mmengine logs it as the backend
    return load


def _with_names(function: FunctionType, names: dict[str, Any]) -> FunctionType:
    """Copy a function; replace some global names of its module in the copy."""
    return FunctionType(function.__code__, {**function.__globals__, **names}, function.__name__, function.__defaults__)


def _read(file: str | BinaryIO, map_location: MapLocation = None, **_) -> dict:
    """Read a file as data; replaces ``torch.load``."""
    content = read_archive(file, map_location)
    name = file if isinstance(file, str) else 'The checkpoint'
    if not isinstance(content, dict):
        found = str(content) if isinstance(content, _FOREIGN) else type(content).__name__
        raise UserError(f'{name} holds an object of type {found}: expected a dict with a state_dict; save the '
                        f'state_dict() alone, or, {TRUST}.')
    state = content.get('state_dict', {})
    for key, value in state.items() if isinstance(state, dict) else [('state_dict', state)]:
        if isinstance(value, _FOREIGN):
            raise UserError(f'{key} of {name} is a {value}: expected a tensor; save it as one, or, {TRUST}.')
    content, left_out = _without_stand_ins(content)
    if left_out and not _has_tensors(content):
        raise UserError(f'{name} holds {", ".join(left_out[:5])} and no tensors: expected weights; save the '
                        f'state_dict() alone, or, {TRUST}.')
    if left_out:
        print_log(f'{name} holds objects that are neither tensors nor plain values. They are omitted: '
                  f'{", ".join(left_out[:5])}{", ..." * (len(left_out) > 5)}.', 'current')
    return decode_checkpoint(content)


def _has_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or isinstance(value, dict) and any(map(_has_tensors, value.values()))


def _without_stand_ins(value: Any, place: str = '') -> tuple[Any, list[str]]:
    """Remove the stand-ins from a value and its containers; return the value and the places of the stand-ins.

    Dicts are changed in place. In lists, tuples and deques, None replaces a stand-in. A resumed scheduler then keeps
    the objects that it was built with.
    """
    if isinstance(value, _FOREIGN):
        return None, [f'{place} ({value})']
    if isinstance(value, dict):
        return value, _clean(value, f'{place}.' if place else '')
    if type(value) not in (list, tuple, deque, set, frozenset):
        return value, []
    parts = [_without_stand_ins(part, f'{place}.{index}') for index, part in enumerate(value)]
    left_out = [name for _, names in parts for name in names]
    if left_out:
        kept = [part for part, names in parts if type(value) in (list, tuple, deque) or not names]
        value = deque(kept, value.maxlen) if type(value) is deque else type(value)(kept)
    return value, left_out


def _clean(value: dict, prefix: str) -> list[str]:
    """Remove the stand-ins from a dict, in place; return their places."""
    left_out = []
    for key in list(value):
        part, names = _without_stand_ins(value[key], f'{prefix}{key}')
        left_out += names
        if names and part is None or isinstance(key, _FOREIGN):
            del value[key]
        else:
            value[key] = part
    return left_out


def _read_url(url: str, model_dir: str | None = None, map_location: MapLocation = None, progress: bool = True,
              **_) -> dict:
    """Download and read a file; replaces ``torch.hub.load_state_dict_from_url`` and uses the same cache."""
    folder = model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints')
    path = os.path.join(folder, os.path.basename(urlparse(url).path))
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        try:
            check_checkpoint_address(url)
            torch.hub.download_url_to_file(url, path, progress=progress)
        except OSError as error:  # includes urllib's errors
            raise UserError(f'{url} can\'t be downloaded ({" ".join(str(error).split())[:200]}): check the network, or '
                            f'download the file elsewhere and give its path.') from error
    return _read(path, map_location)


def check_checkpoint(path: str) -> None:
    """Check that a local checkpoint exists and is complete. URLs are not checked.

    Raises:
        UserError: If the file is missing, truncated, or not written by torch.save.
    """
    if '://' in path:
        return
    if not os.path.isfile(path):
        state = 'is a folder: name a file in it' if os.path.isdir(path) else 'does not exist'
        raise UserError(f'checkpoint {path} {state}')
    if not is_checkpoint(path):
        raise UserError(f'checkpoint {path} ({Path(path).stat().st_size} bytes) is truncated or was not written by '
                        'torch.save: copy it again or train again')

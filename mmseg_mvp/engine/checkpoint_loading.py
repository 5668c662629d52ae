"""Has mmengine read checkpoints as data.

By itself mmengine unpickles a checkpoint, on the maintained stack after a first try without code. Its table of loaders,
which it keeps open to others, is the one place that all checkpoints come through: those that are tested, resumed or
built on, those of a teacher and of an ``init_cfg``, and those of mmseg's own functions.
"""
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import torch
from mmengine.runner import CheckpointLoader

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import read_archive

# It has torch.load read weights only, whatever its caller says.
_FORCE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'


def load_from_local(filename: str, map_location: str | torch.device | None = None) -> dict:
    """Load a local checkpoint; takes the place of mmengine's function of this name.

    Args:
        filename (str): The file.
        map_location (str | torch.device, optional): Where tensors go; None: to the CPU.

    Returns:
        dict: The checkpoint.

    Raises:
        FileNotFoundError: As in mmengine.
        UserError: If the file is damaged, or holds anything else than tensors, numbers and plain values.
    """
    filename = os.path.expanduser(filename)
    if not os.path.isfile(filename):
        raise FileNotFoundError(f'{filename} can not be found.')
    return read_archive(filename, map_location or 'cpu')


def weights_only(loader: Callable) -> Callable:
    """A loader of files from elsewhere that lets ``torch.load`` read weights only.

    Args:
        loader (Callable): One of mmengine's.

    Returns:
        Callable: Raises a UserError where the file holds anything else.
    """
    @wraps(loader)
    def load(filename: str, *args, **kwargs) -> dict:
        try:
            with _forced():
                return loader(filename, *args, **kwargs)
        except pickle.UnpicklingError as error:
            raise UserError(f'{filename} is not read, since it holds more than weights, which may run code: fetch the '
                            f'file yourself and give its path (of a local file numbers and logs are taken, '
                            f'too)') from error
    return load


@contextmanager
def _forced() -> Iterator[None]:
    before = os.environ.get(_FORCE)
    os.environ[_FORCE] = '1'
    try:
        yield
    finally:
        del os.environ[_FORCE]
        if before is not None:
            os.environ[_FORCE] = before


for _prefix, _loader in list(CheckpointLoader._schemes.items()):
    CheckpointLoader.register_scheme(_prefix, weights_only(_loader) if _prefix else load_from_local, force=True)

"""Atomic writing of files: a file is either complete or absent."""
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import torch

from mmseg_mvp.errors import UserError

# In bytes. File systems allow 255; the temporary name of `atomic_write` is 6 bytes longer.
LONGEST_NAME = 249
FIX = 'give a path in a writable folder, on a disk with free space'
# First bytes, in lower case, of the files that a failed download leaves.
_SUBSTITUTES = {b'version https://git-lfs': 'it is a pointer of Git LFS: run git lfs pull in its repository',
                b'<': 'it is a web page: download the file itself'}


def reason_of_damage(file: str | BinaryIO, otherwise: str) -> str:
    """Return a phrase for an unreadable binary file: no permission, a web page, a pointer, or ``otherwise``."""
    start = b''
    try:
        if isinstance(file, str):
            with open(file, 'rb') as opened:
                start = opened.read(64).lower().lstrip()
    except OSError:
        return 'give the path of a file that you are allowed to read'
    return next((phrase for first, phrase in _SUBSTITUTES.items() if start.startswith(first)), otherwise)


def check_new_file(path: str | Path, ending: str | None = None) -> None:
    """Check that a new file can be written to a path. Call it before a long computation.

    Args:
        path (str | Path): Path of the file.
        ending (str, optional): Required suffix, such as ``'.pth'``.

    Raises:
        UserError: If the path exists, is not writable, is not a valid file name, or has another suffix.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f'{path!r} is not a file name: expected a str or a Path.')
    if ending and Path(path).suffix != ending:
        raise UserError(f'{path} has the wrong ending for this file: end it in {ending}')
    if os.path.lexists(path):
        raise UserError(f'{path} exists already: name a new file, or set overwrite=True if available.')
    if '\0' in str(path):
        raise UserError(f'{str(path)!r} contains a null byte: give another file name.')
    if len(os.fsencode(Path(path).name)) > LONGEST_NAME:
        raise UserError(f'The file name {str(path)[:40]}... has {len(str(path))} letters, which is too '
                        f'long: shorten it.')
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f'{path} can\'t be written, because {folder} is not a writable folder: give another path.')


def check_new_folder(path: str, flag: str) -> None:
    """Check that a result folder is new or empty, so that no file is overwritten.

    Raises:
        UserError: If `path` is a file or a folder that is not empty.
    """
    if os.path.isfile(path) or os.path.isdir(path) and os.listdir(path):
        raise UserError(f'{flag} {path} exists and is not an empty folder: name a new folder')


def check_apart(out: str, show_dir: str) -> None:
    """Check that two result folders, which have files of the same names, are not one, and not one inside the other.

    Raises:
        UserError: If they are.
    """
    places = [os.path.join(os.path.realpath(path), '') for path in (out, show_dir)]
    if places[0].startswith(places[1]) or places[1].startswith(places[0]):
        raise UserError(f'--out {out} and --show-dir {show_dir} are one folder, or one inside the other, and could '
                        'overwrite files: name two separate folders')


def written_size(number: float) -> str:
    """Write a number of bytes."""
    return f'{number / 2**30:.1f} GiB' if number >= 2**30 else f'{number / 2**20:.1f} MiB'


@contextmanager
def atomic_write(path: str | Path, overwrite: bool = False, fix: str = FIX, sync: bool = False,
                 writer: str = '') -> Iterator[Path]:
    """Write a file under a temporary name and rename it when complete. A killed run leaves no partial file at ``path``.

    Args:
        path (str | Path): Path of the file. Missing folders are created.
        overwrite (bool): True replaces an existing file.
        fix (str): End of the error message: the advice if the file can't be written.
        sync (bool): True syncs the file to disk before and the folder after the renaming, for files that must survive a
            power failure.
        writer (str): Name of the process, if several may write this file at the same time.

    Yields:
        Path: Temporary path to write to: a hidden file in the same folder, with the same suffix.

    Raises:
        UserError: If the file exists and ``overwrite`` is False, or the file can't be written.
    """
    path = Path(path)
    if not overwrite:
        check_new_file(path)
    temporary = path.with_name(f'.{path.stem}.part{writer}{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not overwrite:
            check_new_file(path)  # another process may have created it meanwhile
        if sync:
            _sync(temporary)
        os.replace(temporary, path)
        if sync:
            _sync(path.parent)
    except OSError as error:
        raise UserError(f'{path} can\'t be written ({error.strerror or error}): {fix}.') from error
    finally:
        _remove(temporary)


def save_checkpoint(checkpoint: dict, path: str | Path) -> None:
    """Write a new file by ``torch.save``, completely or not at all.

    Raises:
        UserError: If the file exists or can't be written.
    """
    with atomic_write(path) as temporary:
        try:
            torch.save(checkpoint, temporary)
        except RuntimeError as error:  # torch's writer on a full disk
            raise OSError(str(error).partition('\n')[0]) from error


def _sync(path: Path) -> None:
    """Sync a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    """Remove a file; ignore all OSErrors, such as a missing file or folder."""
    with suppress(OSError):
        path.unlink()

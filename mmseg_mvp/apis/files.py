"""Atomic writing of files: a file is either complete or absent."""
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmseg_mvp.errors import UserError

# In bytes. File systems allow 255; the temporary name of `written_whole` is 6 bytes longer.
LONGEST_NAME = 249


def check_new_file(path: str | Path, ending: str | None = None) -> None:
    """Check that a new file can be written to a path. Call it before a long computation.

    Args:
        path (str | Path): Path of the file.
        ending (str, optional): Required suffix, such as ``'.pth'``.

    Raises:
        UserError: If the path exists, is not writable, is not a valid file name, or has another suffix.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise UserError(f'{path!r} is no name for a file: give a str or a Path.')
    if ending and Path(path).suffix != ending:
        raise UserError(f'{path} is no name for this file: end it in {ending}')
    if os.path.lexists(path):
        raise UserError(f'{path} exists already: name a new file (or overwrite it, where there is overwrite=True).')
    if '\0' in str(path):
        raise UserError(f'{str(path)!r} holds a null byte, which no file name has: name another.')
    if len(os.fsencode(Path(path).name)) > LONGEST_NAME:
        raise UserError(f'A name of {len(str(path))} letters, {str(path)[:40]}..., is too long for a file: shorten it.')
    folder = Path(path).absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UserError(f'{path} can\'t be written, since {folder} is no folder that you may write to: name another.')


@contextmanager
def written_whole(path: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name and rename it when complete. A killed run leaves no partial file at ``path``.

    Args:
        path (str | Path): Path of the file. Missing folders are created.
        overwrite (bool): True replaces an existing file.

    Yields:
        Path: Temporary path to write to: a hidden file in the same folder, with the same suffix.

    Raises:
        UserError: If the file exists and ``overwrite`` is False, or the file can't be written.
    """
    path = Path(path)
    if not overwrite:
        check_new_file(path)
    temporary = path.with_name(f'.{path.stem}.part{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not overwrite:
            check_new_file(path)  # another process may have created it meanwhile
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f'{path} can\'t be written ({error.strerror or error}): name a file in a folder that you may '
                        f'write to, on a disk with room for it.') from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    """Remove a file; ignore all OSErrors, such as a missing file or folder."""
    with suppress(OSError):
        path.unlink()

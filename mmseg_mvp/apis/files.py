"""Files that are there as a whole or not at all."""
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmseg_mvp.errors import UserError

# In bytes: file systems take 255, of which the name of a file that is being written needs 6 more.
LONGEST_NAME = 249


def check_new_file(path: str | Path, ending: str | None = None) -> None:
    """Refuse a name that is taken, before anything is computed.

    Args:
        path (str | Path): Of the file.
        ending (str, optional): What its name must end in, such as ``'.pth'``.

    Raises:
        UserError: If there is such a file, the place can't hold one, or it is no name of such a file.
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
    """Write a file under another name, which it loses once it is complete: a killed run leaves no half file.

    Args:
        path (str | Path): Of the file; its folder is made where it is missing.
        overwrite (bool): Whether a file of that name gives way.

    Yields:
        Path: Where to write: in the same folder, hidden, with the same ending.

    Raises:
        UserError: If the file is there already, or can't be written.
    """
    path = Path(path)
    if not overwrite:
        check_new_file(path)
    temporary = path.with_name(f'.{path.stem}.part{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not overwrite:
            check_new_file(path)  # something may have appeared meanwhile
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f'{path} can\'t be written ({error.strerror or error}): name a file in a folder that you may '
                        f'write to, on a disk with room for it.') from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    """Remove a file, if it can be; where its folder is none, there is nothing to remove."""
    with suppress(OSError):
        path.unlink()

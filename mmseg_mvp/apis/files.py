"""Files that are there as a whole or not at all."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmseg_mvp.errors import UserError


@contextmanager
def written_whole(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Write a file under another name, which it loses once it is complete: a killed run leaves no half file.

    Args:
        path (Path): Of the file; its folder is made where it is missing.
        overwrite (bool): Whether a file of that name gives way.

    Yields:
        Path: Where to write: in the same folder, hidden, with the same ending.

    Raises:
        UserError: If the file is there already, or can't be written.
    """
    if path.exists() and not overwrite:
        raise UserError(f'{path} exists already: name another file, or overwrite it (overwrite=True, --overwrite).')
    temporary = path.with_name(f'.{path.stem}.part{path.suffix}')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f'{path} can\'t be written ({error.strerror or error}): name a folder that you may write to, on '
                        f'a disk with room.') from error

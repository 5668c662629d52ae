"""Index of a folder of stored features: the settings that its content depends on, compared by name."""
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmseg_mvp.errors import UserError

from .files import atomic_write

ANEW = 'name another folder, or delete this one to build it anew'
FIX = 'free disk space or correct the permissions, then run the command again: finished images are kept'
PRECISIONS = ('float16', 'float32')  # of stored features
_NAME = 'index.json'
_FIRST_KIND = 'feature bank'  # of an index without a kind


def read_index(folder: str | Path, kind: str, version: int) -> dict | None:
    """Read the index of a folder. Return None if the folder is new or empty.

    Args:
        folder (str | Path): Folder.
        kind (str): Name of such folders in messages, such as ``'feature bank'``.
        version (int): Version of the index that this code writes.

    Raises:
        UserError: If the folder holds other files, or the index cannot be read.
    """
    path = Path(folder) / _NAME
    try:
        if not path.exists():
            _check_empty(Path(folder), kind)
            return None
        index = json.loads(path.read_text('utf-8'))
        found = index.pop('kind', _FIRST_KIND)
        if found != kind:
            raise UserError(f'{folder} is a {found}, but the run needs a {kind}: name another folder.')
        if index.pop('version') != version:
            raise ValueError('it is of another version')
        return index
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise unreadable(folder, kind, error) from error


def unreadable(folder: str | Path, kind: str, error: Exception) -> UserError:
    """Return the error for an index that cannot be read."""
    return UserError(f'The index {Path(folder) / _NAME} of the {kind} cannot be read ({error}): {ANEW}.')


def write_index(folder: str | Path, index: Mapping, kind: str, version: int) -> None:
    """Write the index of a folder.

    Raises:
        UserError: If the folder is not writable.
    """
    with atomic_write(Path(folder) / _NAME, overwrite=True, fix=FIX) as part:
        part.write_text(json.dumps(dict(kind=kind, version=version, **index), indent=1), 'utf-8')


def check_same(folder: str | Path, kind: str, found: Mapping, expected: Mapping) -> None:
    """Compare the settings of a folder with those of the run.

    Raises:
        UserError: If they differ, with the first setting that does.
    """
    found, expected = (dict(_flat(part)) for part in (found, expected))
    names = [name for name in dict.fromkeys([*expected, *found]) if found.get(name) != expected.get(name)]
    if names:
        name = names[0]
        raise UserError(f'The {kind} {folder} does not fit this run: its {name} is {_text(found, name)} '
                        f'there and {_text(expected, name)} here; {ANEW}.')


def _flat(part: Any, place: str = '') -> Iterator[tuple[str, Any]]:
    """Generate the values in nested dicts and lists of dicts, with their places."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from _flat(value, f'{place}.{key}' if place else key)
    elif isinstance(part, (list, tuple)) and any(isinstance(value, Mapping) for value in part):
        for index, value in enumerate(part):
            yield from _flat(value, f'{place}[{index}]')
    else:
        yield place, part


def _text(settings: Mapping, name: str) -> str:
    return repr(settings[name]) if name in settings else 'not set'


def _check_empty(folder: Path, kind: str) -> None:
    """Raise UserError if a path is not a folder, or holds files other than those of an unfinished start."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f'The {kind} {folder} is a file: name a folder.')
    others = [path.name for path in folder.iterdir() if not path.name.startswith('.')] if folder.exists() else []
    if others:
        raise UserError(f'The folder {folder} is not a {kind}, but holds files such as {min(others)!r}: name an '
                        f'empty or a new folder.')

"""Look-up of many files by one listing per folder."""
import os
import os.path as osp
from collections.abc import Iterable


class FileIndex:
    """Files on a local or mounted drive. Each folder is listed once, because a look-up per file is slow there."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[str]] = {}

    def __contains__(self, path: str) -> bool:
        folder, name = osp.split(path)
        return name in self.names(folder)

    def names(self, folder: str) -> frozenset[str]:
        """Return the names of all files in a folder, links included; no name if the folder is missing."""
        if folder not in self._folders:
            self._folders[folder] = frozenset(_file_names(folder))
        return self._folders[folder]

    def missing(self, paths: Iterable[str]) -> list[str]:
        """Return the paths without a file, each once, in the given order.

        A path that its folder's listing lacks is looked up once more, for drives that ignore the case of letters.
        """
        absent = [path for path in dict.fromkeys(paths) if path not in self]
        return [path for path in absent if not (self.names(osp.dirname(path)) and osp.isfile(path))]


def first_three(items: list[str]) -> str:
    """Return up to three items, quoted, for a message."""
    return ', '.join(map(repr, items[:3])) + (', ...' if len(items) > 3 else '')


def _file_names(folder: str) -> Iterable[str]:
    if not osp.isdir(folder or '.'):
        return []
    with os.scandir(folder or '.') as entries:
        return [entry.name for entry in entries if entry.is_file()]

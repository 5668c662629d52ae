"""Photos of annotations."""
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.pixels import SUFFIXES

_REPLACED = (*SUFFIXES, '.json')  # suffixes that a photo of another suffix can have had


def list_photos(folder: Path) -> list[Path]:
    """List the images of a folder and its subfolders by suffix, sorted.

    Raises:
        UserError: If the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(f'{str(folder)!r} is not a folder of photos: expected the path of a folder.')
    return sorted(path for path in folder.rglob('*')
                  if path.suffix.lower() in SUFFIXES and path.is_file()
                  and not any(part.startswith('.') for part in path.relative_to(folder).parts))


class PhotoIndex:
    """Look-up of photos by the names in annotations.

    A name fits the photo that shares the most parts at its end: ``sub/a.jpg`` fits ``photos/sub/a.jpg`` better than
    ``photos/a.jpg``. Of equal ones, it fits the photo in the folder itself. A name without a photo of its suffix fits
    the photo of its stem.

    Args:
        photos (list[Path]): Photos.
        root (Path): Their folder.
    """

    def __init__(self, photos: list[Path], root: Path) -> None:
        self._root = root
        self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
        for photo in photos:
            self._by_name[photo.name].append(photo)
            self._by_stem[photo.stem].append(photo)

    def find(self, names: Iterable[str], where: str) -> Path | None:
        """Return the photo that fits the first of some names, or None.

        Raises:
            UserError: If several photos fit equally well.
        """
        names = [PurePosixPath(PureWindowsPath(name).as_posix()) for name in names if name]
        for table, attribute in ((self._by_name, 'name'), (self._by_stem, 'name'), (self._by_stem, 'stem')):
            for name in names if attribute == 'name' else [name for name in names if name.suffix.lower() in _REPLACED]:
                if found := table.get(getattr(name, attribute)):
                    return self._best(found, name, where)
        return None

    def _best(self, photos: list[Path], name: PurePosixPath, where: str) -> Path:
        folders = [photo.parent.relative_to(self._root).parts for photo in photos]
        counts = [_shared(folder, name.parent.parts) for folder in folders]
        ranks = [(count, count == len(folder)) for count, folder in zip(counts, folders)]
        best = [photo for photo, rank in zip(photos, ranks) if rank == max(ranks)]
        if len(best) > 1:
            raise UserError(f'{where} fits several photos, {str(best[0])!r} and {str(best[1])!r}: give them different '
                            'names, or convert one folder at a time.')
        return best[0]


def _shared(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """Count the equal parts at the ends of two paths."""
    count = 0
    for one, other in zip(reversed(first), reversed(second)):
        if one != other:
            break
        count += 1
    return count

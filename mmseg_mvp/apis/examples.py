"""Examples: classes given by pictures instead of words, or beside them."""
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.masks import decode_mask

from .images import ImageSource

REGIONS = ('mask', 'box', 'point')


@dataclass(frozen=True, eq=False, repr=False)
class Example:
    """Picture of a class, in ``classes={'widget': Example('a.jpg', box=(10, 20, 90, 80))}``.

    At most one region is given; without one, it is the whole picture. Coordinates are pixels of the picture as it is
    shown, from its top left corner.

    Args:
        image (str | Path | np.ndarray | Image.Image): Picture, see :func:`mmseg_mvp.apis.images.read_image`.
        mask (np.ndarray | str | Path, optional): Pixels of the class: an array (H, W) or a file, not 0 inside.
        box (Sequence[float], optional): (left, top, right, bottom); right and bottom lie outside, as in a slice.
        point (Sequence[float], optional): (x, y) of one pixel.

    Raises:
        UserError: If several regions are given, or a region has a wrong type.
    """
    image: ImageSource
    mask: np.ndarray | str | PathLike | None = None
    box: Sequence[float] | None = None
    point: Sequence[float] | None = None

    def __post_init__(self) -> None:
        given = [name for name in REGIONS if getattr(self, name) is not None]
        if len(given) > 1:
            raise UserError(f'{self} has {len(given)} regions, {" and ".join(given)}: give one of them, or none for '
                            f'the whole picture.')
        for name, length, form in (('box', 4, '(left, top, right, bottom)'), ('point', 2, '(x, y)')):
            value = getattr(self, name)
            if value is not None and (isinstance(value, str) or not hasattr(value, '__len__') or len(value) != length):
                raise UserError(f'The {name} of {self} is {value!r}: expected {form} in pixels.')
            for number in () if value is None else np.asarray(value).tolist():
                check_number(f'A number in the {name} {tuple(value)} of {self}', number)

    def __repr__(self) -> str:
        shown = str(self.image) if isinstance(self.image, (str, PathLike)) else f'<{type(self.image).__name__}>'
        return f'Example({shown})'

    def region(self, height: int, width: int) -> np.ndarray:
        """Return the pixels of the region in the picture, (height, width), bool.

        Raises:
            UserError: If the region is empty, lies outside the picture or has another size.
        """
        if self.mask is not None:
            return self._masked((height, width))
        inside = np.zeros((height, width), bool)
        left, top, right, bottom = self._edges(height, width)
        inside[top:bottom, left:right] = True
        return inside

    def _edges(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the pixels that a box or a point touches."""
        size = f'the picture of {width} x {height} pixels'
        if self.point is not None:
            x, y = (int(np.floor(value)) for value in self.point)
            if not (0 <= x < width and 0 <= y < height):
                raise UserError(f'The point {tuple(self.point)} of {self} lies outside {size}: give (x, y) inside it.')
            return x, y, x + 1, y + 1
        if self.box is None:
            return 0, 0, width, height
        left, top, right, bottom = self.box
        if not (left < right and top < bottom):
            raise UserError(f'The box {tuple(self.box)} of {self} has no area: give (left, top, right, bottom) with '
                            f'left < right and top < bottom.')
        if left < 0 or top < 0 or right > width or bottom > height:
            raise UserError(f'The box {tuple(self.box)} of {self} reaches outside {size}: give (left, top, right, '
                            f'bottom) inside it.')
        return int(np.floor(left)), int(np.floor(top)), int(np.ceil(right)), int(np.ceil(bottom))

    def _masked(self, size: tuple[int, int]) -> np.ndarray:
        """Return the mask of a picture of a size (height, width)."""
        mask, name = self.mask, f'The mask of {self}'
        if isinstance(mask, (str, PathLike)):
            mask, name = _read_mask(Path(mask)), f'Mask {mask} of {self}'
        if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype.kind not in 'bui':
            found = f'{mask.dtype} {mask.shape}' if isinstance(mask, np.ndarray) else type(mask).__name__
            raise UserError(f'{name} is {found}: expected a file, or an array (H, W) of booleans or integers.')
        if mask.shape != size:
            raise UserError(f'{name} has {mask.shape[1]} x {mask.shape[0]} pixels, but the picture has {size[1]} x '
                            f'{size[0]}: give a mask of the same size.')
        if not mask.any():
            raise UserError(f'{name} is empty, because all its pixels are 0: mark the pixels of the class.')
        return mask != 0


def _read_mask(path: Path) -> np.ndarray:
    """Read the values of a mask file, (H, W)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f'Mask {path} cannot be opened ({error.strerror}): give an existing file.') from error
    return decode_mask(content, f'Mask {path}').values


def parts(value: object) -> list:
    """Return the words and examples of a class: one, or a list of them."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def has_examples(classes: object) -> bool:
    """True if classes are a dict with at least one value that is not only of words."""
    return isinstance(classes, Mapping) and any(not isinstance(part, str) for value in classes.values()
                                                for part in parts(value))

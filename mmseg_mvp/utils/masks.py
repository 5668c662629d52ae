"""The one reader and the one writer of label masks."""
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError

from .notices import notice
from .pixels import orientation_of, reason, turned
from .stored import stretch

_LOSSY = ('JPEG', 'MPO')


class Mask(NamedTuple):
    """Values of a mask.

    Attributes:
        values (np.ndarray): Values as a viewer places them, (H, W), uint8, uint16 or int32.
        is_turned (bool): True if the file has an EXIF orientation of its own, which was applied.
    """
    values: np.ndarray
    is_turned: bool


def decode_mask(content: bytes, name: str, grey: bool = False) -> Mask:
    """Read the values of a mask: indices of a palette, or grey values of 1, 2, 4, 8, 16 or 32 bits.

    Args:
        content (bytes): Content of the file.
        name (str): Name of the mask for messages, such as ``'Mask a.png'``.
        grey (bool): If True, convert other modes to grey of 8 bits instead of refusing them.

    Raises:
        UserError: If the file cannot be decoded, has several channels or floats, or is a JPEG, unless ``grey`` is True.
    """
    try:
        with Image.open(BytesIO(content)) as picture:
            by_pillow = orientation_of(picture) if picture.format == 'TIFF' else 1
            factor, lossy = stretch(picture), picture.format in _LOSSY or picture.info.get('compression') == 'jpeg'
            picture.load()
            left = orientation_of(picture)
            picture = picture.convert('L') if grey else picture
            values = turned(np.asarray(picture), left)
    except Exception as error:  # each decoder raises its own exceptions
        raise UserError(unreadable(name, error)) from error
    if lossy and not grey:
        raise UserError(f'{name} is a JPEG, which changes label values at edges: make a PNG from the original labels, '
                        f'since a converted JPEG keeps the wrong values.')
    if picture.mode not in ('1', 'L', 'P') and picture.mode[0] != 'I':
        raise UserError(f'{name} has pixels of mode {picture.mode!r}: store labels as a PNG with one channel of 8 bits '
                        "(modes 'L' or 'P') or 16 bits ('I;16').")
    if picture.mode == 'P':
        _compare_with_palette(values, picture, name)
    if factor != 1:
        values = np.rint(values / factor).astype(np.int32 if values.dtype.itemsize > 1 else np.uint8)
    dtype = values.dtype.newbyteorder('=') if values.dtype.itemsize > 1 else np.uint8
    return Mask(values.astype(dtype), max(by_pillow, left) > 1)


def _compare_with_palette(indices: np.ndarray, picture: Image.Image, name: str) -> None:
    """Warn of indices (H, W) of other grey values: programs that shrink files replace grey values by such indices."""
    used = np.flatnonzero(np.bincount(indices.ravel()))
    colours = np.array(picture.getpalette('RGB')).reshape(-1, 3)
    colours = colours[used[used < len(colours)]]  # (number of used colours, 3)
    differ = colours[:, 0] != used[:len(colours)]
    if (colours == colours[:, :1]).all() and differ.any():
        notice('grey palette', name, f'{name} stores the indices {_first(used[:len(colours)][differ])} of the grey '
               f'values {_first(colours[differ, 0])}, and the indices are read as labels: if the grey values are the '
               f"labels, convert the masks to grey (Pillow: convert('L')), else ignore this warning.")


def _first(values: np.ndarray) -> str:
    return ', '.join(map(str, values[:5].tolist())) + ', ...' * (len(values) > 5)


def write_label_map(labels: np.ndarray, path: Path, num_classes: int, reduced: bool = False) -> None:
    """Write predicted labels (H, W) as PNG of 8 bits, or of 16 bits if the classes need them.

    Args:
        labels (np.ndarray): Labels, (H, W) integers.
        path (Path): New file.
        num_classes (int): Number of classes.
        reduced (bool): If True, add 1 to the labels, as in the files of a data set with ``reduce_zero_label``.
    """
    dtype = np.uint8 if num_classes + reduced <= 2**8 else np.uint16
    Image.fromarray((labels.astype(np.int64) + reduced).astype(dtype)).save(path)


def unreadable(name: str, error: Exception) -> str:
    """Return the sentence for a mask that cannot be read."""
    return (f'{name} cannot be read ({reason(error)}): replace the file by an intact copy, or remove its name from the '
            f'split file.')


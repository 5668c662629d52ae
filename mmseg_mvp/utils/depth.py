"""Conversion of pixel values of any depth to 8 bits."""
import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError

from .notices import notice

WHITE = (255, 1023, 4095, 16383, 65535)  # largest values of 8, 10, 12, 14 and 16 bits


class UnreadableImage(UserError):
    """Error in one image, not in the call. A run over many images may skip it and continue."""


def to_bytes(values: np.ndarray, name: str) -> np.ndarray:
    """Scale values of any real type to uint8 of the same shape.

    Values of type uint8 stay unchanged, and True becomes 255. A file does not tell how many of its bits are used, so
    the values decide. Black is 0, or the least value if it is negative. White is the largest value if the least is
    negative. Else white is

    - for integers, the smallest of 255, 1023, 4095, 16383 and 65535 that is at least the largest value, or the largest
      value beyond 65535;
    - for floats, 1 up to 1, 255 from 64 to 255, or the largest value.

    The rule is logged with the name for the first images of each kind.

    Args:
        values (np.ndarray): Values of one or more channels.
        name (str): Name of the image for messages, such as ``'Image a.png'``.

    Raises:
        UnreadableImage: If a value is not finite.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if values.dtype.kind == 'f' and (bad := np.count_nonzero(~np.isfinite(values))):
        raise UnreadableImage(f'{name} has {bad} values that are not finite (NaN or infinity): replace them by numbers '
                              f'and save the image again.')
    least, largest = values.min().item(), values.max().item()
    black, white = (least, largest) if least < 0 else (0, _white(largest, values.dtype.kind))
    notice((values.dtype.name, white if white in (1, *WHITE) else 'largest'), name,
           f'{name} has {values.dtype.name} values from {least:g} to {largest:g}: {black:g} is read as black and '
           f'{white:g} as white.')
    exact = np.float32 if values.dtype.itemsize <= 2 else np.float64
    return np.rint((values.astype(exact) - black) * (255 / (white - black or 1))).astype(np.uint8)


def _white(largest: float, kind: str) -> float:
    """Return the value of white for values from 0 to ``largest`` of a NumPy kind."""
    if kind == 'f':
        return 1 if largest <= 1 else 255 if 64 <= largest <= 255 else largest
    return next((white for white in WHITE if largest <= white), largest)


def picture_of(values: np.ndarray, name: str) -> Image.Image:
    """Convert values (H, W) or (H, W, C) to a Pillow image of 8 bits: L, LA, RGB or RGBA for C = 1, 2, 3 or 4.

    Colours and opacity are scaled by :func:`to_bytes`, each on its own, because opaque is often the largest value of
    the type while colours use fewer bits.
    """
    if values.ndim == 2 or values.shape[2] == 1:
        return Image.fromarray(np.ascontiguousarray(to_bytes(values.reshape(values.shape[:2]), name)))
    colours = values.shape[2] - (values.shape[2] in (2, 4))
    parts = [to_bytes(part, name) for part in np.split(values, [colours], axis=2) if part.size]
    return Image.fromarray(np.concatenate(parts, axis=2))

"""The one reader of photos, for training, inference, the web page and pictures."""
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from . import stored
from .checking import check_number
from .depth import UnreadableImage, picture_of

MAX_PIXELS = 2**26  # 8192 x 8192
SUFFIXES = ('.bmp', '.gif', '.jp2', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')


class Photo(NamedTuple):
    """Pixels of a photo.

    Attributes:
        pixels (np.ndarray): RGB as a viewer shows them, (H, W, 3) uint8.
        orientation (int): EXIF orientation, 1 to 8, by which the stored pixels were turned.
    """
    pixels: np.ndarray
    orientation: int


def allow_pixels(max_pixels: int) -> None:
    """Raise Pillow's limit on image size to ``max_pixels``, for the whole process. The limit is never lowered.

    Args:
        max_pixels (int): Largest number of pixels of an image.

    Raises:
        UserError: If it is not a positive integer.
    """
    check_number(f'max_pixels (--max-pixels; {MAX_PIXELS} by default, and at least one pixel)', max_pixels, least=1,
                 whole=True)
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)


def read_file(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a local file: RGB, (H, W, 3) uint8, see :func:`read_photo`."""
    if not os.path.isfile(path):  # Path.is_file raises an error if the name is too long
        raise UnreadableImage(f'Image {path} does not exist, or is not a file.')
    try:
        file = open(path, 'rb')
    except OSError as error:
        raise UnreadableImage(f'Image {path} cannot be opened ({error.strerror}): check its permissions.') from error
    with file:
        return read_photo(file, f'Image {path}', max_pixels).pixels


def read_photo(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> Photo:
    """Read an image of any mode and depth as RGB of 8 bits.

    The EXIF orientation is applied, transparent pixels are blended with white, and other depths are scaled by
    :func:`mmseg_mvp.utils.depth.to_bytes`. Pillow decodes. OpenCV decodes what Pillow reduces to 8 bits (16 bits in
    several channels) or does not know (TIFF with several channels of floats). Of several pages, the first is read.

    Args:
        file (BinaryIO): Seekable file.
        name (str): Name of the image for messages, such as ``'Image a.png'``.
        max_pixels (int): Largest number of pixels.

    Raises:
        UnreadableImage: If the file is damaged or not an image, a value is not finite, or the image exceeds
            ``max_pixels``.
    """
    allow_pixels(max_pixels)
    try:
        return _decode(file, name, max_pixels)
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f'{name} is too large for max_pixels (--max-pixels) = {max_pixels} ({error}): raise the '
                              f'limit if you trust the file.') from error
    except Exception as error:  # each decoder raises its own exceptions
        raise UnreadableImage(f'{name} cannot be read ({reason(error)}): it is truncated, not an image, or of another '
                              f'format; replace it by an intact copy, such as PNG or JPEG, or remove it from the '
                              f'images.') from error


def reason(error: Exception) -> str:
    """Return the first line of an exception of a decoder, without the address of a file object."""
    line = str(error).partition('\n')[0].partition(' <_io')[0].partition(' file \'')[0]
    return line or type(error).__name__


class TooManyPixels(UnreadableImage):
    """Error for an image that exceeds ``max_pixels``.

    Attributes:
        size (tuple[int, int]): Width and height of the image, in pixels.
    """

    def __init__(self, size: tuple[int, int], name: str, max_pixels: int) -> None:
        self.size, (width, height) = size, size
        super().__init__(f'{name} has {width} x {height} = {width * height} pixels, but max_pixels (--max-pixels) is '
                         f'{max_pixels}: raise it, or make the image smaller.')


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raise TooManyPixels if a size, (width, height), has more than ``max_pixels`` pixels."""
    if size[0] * size[1] > max_pixels:
        raise TooManyPixels(size, name, max_pixels)


def _decode(file: BinaryIO, name: str, max_pixels: int) -> Photo:
    try:
        picture = Image.open(file)
    except UnidentifiedImageError:
        tags = stored.tags_of_tiff(file)
        check_size((int(tags[stored.WIDTH]), int(tags[stored.HEIGHT])), name, max_pixels)
        return Photo(_by_opencv(file, name, tags), _valid(tags.get(stored.ORIENTATION)))
    check_size(picture.size, name, max_pixels)
    tags = picture.tag_v2 if picture.format == 'TIFF' else {}
    by_pillow = orientation_of(picture) if tags else 1  # loading a TIFF turns its pixels
    reduced, factor = stored.is_reduced(picture, file), stored.stretch(picture)
    picture.load()
    left = orientation_of(picture)
    if picture.mode == 'L' and isinstance(picture.info.get('transparency'), int):
        picture.info['transparency'] *= factor
    if dtype := stored.misread_type(tags):
        pixels = to_rgb(picture_of(np.asarray(picture).view(dtype), name), name)
    elif reduced:
        return Photo(turned(_by_opencv(file, name, tags), left), max(by_pillow, left))
    else:
        pixels = to_rgb(picture, name)
    pixels = 255 - pixels if stored.is_negative(tags) else pixels
    return Photo(turned(pixels, left), max(by_pillow, left))


def _by_opencv(file: BinaryIO, name: str, tags: Mapping) -> np.ndarray:
    """Decode a file at its own depth, with its tags if it is a TIFF: RGB, (H, W, 3) uint8."""
    if tags:
        stored.check_for_opencv(tags, name)
    file.seek(0)
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UnidentifiedImageError('no decoder knows this format')
    values = from_opencv(values)
    values = values[..., :3] if stored.is_opaque(tags) else values
    pixels = to_rgb(picture_of(values, name), name)
    return 255 - pixels if stored.is_negative(tags) else pixels


def from_opencv(values: np.ndarray) -> np.ndarray:
    """Convert channels from OpenCV's order: (H, W), (H, W, 1), BGR or BGRA to (H, W), (H, W, 1), RGB or RGBA."""
    if values.ndim == 3 and values.shape[2] > 4:
        raise UnidentifiedImageError(f'it has {values.shape[2]} channels, expected 1 to 4')
    return values[..., [2, 1, 0, 3][:values.shape[2]]] if values.ndim == 3 and values.shape[2] > 2 else values


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation of a Pillow image, 1 to 8; 1 without a valid one."""
    try:
        found = picture.getexif().get(stored.ORIENTATION, 1)
    except Exception:  # damaged metadata; viewers ignore it
        return 1
    return _valid(found)


def _valid(orientation: Any) -> int:
    return orientation if orientation in range(1, 9) else 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn stored pixels (H, W, ...) by an EXIF orientation, as a viewer does (EXIF 2.3, tag 0x0112)."""
    pixels = pixels.swapaxes(0, 1) if orientation > 4 else pixels
    pixels = pixels[::-1] if orientation in (3, 4, 7, 8) else pixels
    pixels = pixels[:, ::-1] if orientation in (2, 3, 6, 7) else pixels
    return np.ascontiguousarray(pixels)


def to_rgb(picture: Image.Image, name: str) -> np.ndarray:
    """Convert a Pillow image of any mode to RGB, (H, W, 3) uint8, without its EXIF orientation."""
    if picture.mode[0] in 'IF':  # Pillow's own conversion clips values at 255
        values, clear = np.asarray(picture), picture.info.get('transparency')
        picture = picture_of(values, name)
        if isinstance(clear, int):
            picture.putalpha(Image.fromarray(values != clear).convert('L'))
    if picture.has_transparency_data:
        picture = picture.convert('RGBA')
        picture = Image.alpha_composite(Image.new('RGBA', picture.size, 'white'), picture)
    return np.asarray(picture if picture.mode == 'RGB' else picture.convert('RGB'))

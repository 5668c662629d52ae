"""The one reader of photos, for training, inference, the web page and pictures."""
import os
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from .checking import check_number
from .depth import UnreadableImage, picture_of

MAX_PIXELS = 2**26  # 8192 x 8192
ORIENTATION = 0x0112  # EXIF tag


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
        raise UnreadableImage(f'{name} cannot be read ({reason(error)}): it is truncated, or not an image; replace it '
                              f'by an intact copy, or remove it from the images.') from error


def reason(error: Exception) -> str:
    """Return the first line of an exception of a decoder, without the address of a file object."""
    line = str(error).partition('\n')[0].partition(' <_io')[0].partition(' file \'')[0]
    return line or type(error).__name__


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Raise UnreadableImage if a size, (width, height), has more than ``max_pixels`` pixels."""
    width, height = size
    if width * height > max_pixels:
        raise UnreadableImage(f'{name} has {width} x {height} = {width * height} pixels, but max_pixels (--max-pixels) '
                              f'is {max_pixels}: raise it, or make the image smaller.')


def _decode(file: BinaryIO, name: str, max_pixels: int) -> Photo:
    try:
        picture = Image.open(file)
    except UnidentifiedImageError:
        check_size(_tiff_size(file), name, max_pixels)
        return Photo(to_rgb(picture_of(_by_opencv(file), name), name), 1)
    check_size(picture.size, name, max_pixels)
    by_pillow = orientation_of(picture) if picture.format == 'TIFF' else 1  # loading a TIFF turns its pixels
    is_reduced = _is_reduced(picture)
    picture.load()
    left = orientation_of(picture)
    if is_reduced:
        picture = picture_of(_by_opencv(file), name)
    return Photo(turned(to_rgb(picture, name), left), max(by_pillow, left))


def _is_reduced(picture: Image.Image) -> bool:
    """Return True if Pillow keeps the higher 8 of 16 bits only; it does so with several channels."""
    return picture.mode[0] not in 'IF' and ';16' in str([tile[3] for tile in picture.tile])


def _by_opencv(file: BinaryIO) -> np.ndarray:
    """Decode a file at its own depth: (H, W) or (H, W, C) in the order RGB or RGBA."""
    file.seek(0)
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise UnidentifiedImageError('no decoder knows this file')
    return from_opencv(values)


def from_opencv(values: np.ndarray) -> np.ndarray:
    """Convert channels from OpenCV's order: (H, W), (H, W, 1), BGR or BGRA to (H, W), (H, W, 1), RGB or RGBA."""
    if values.ndim == 3 and values.shape[2] > 4:
        raise UnidentifiedImageError(f'it has {values.shape[2]} channels, expected 1 to 4')
    return values[..., [2, 1, 0, 3][:values.shape[2]]] if values.ndim == 3 and values.shape[2] > 2 else values


def _tiff_size(file: BinaryIO) -> tuple[int, int]:
    """Return width and height from the header of a TIFF file."""
    file.seek(0)
    header = file.read(8)
    header += file.read(8) if header[2:3] == b'+' or header[3:4] == b'+' else b''  # BigTIFF
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(directory.next)
        directory.load(file)
        return int(directory[256]), int(directory[257])
    except Exception as error:
        raise UnidentifiedImageError('no decoder knows this file') from error


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation of a Pillow image, 1 to 8; 1 without a valid one."""
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged metadata; viewers ignore it
        return 1
    return found if found in range(1, 9) else 1


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

"""Reading of images from files, arrays and Pillow images."""
import os
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

ImageSource = str | PathLike | np.ndarray | Image.Image

MAX_PIXELS = 2**26  # 8192 x 8192
SUFFIXES = ('.bmp', '.gif', '.jp2', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')


class UnreadableImage(UserError):
    """Error in one image, not in the call. A run over many images may skip it and continue."""


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


def list_images(folder: str | PathLike) -> list[Path]:
    """List the images of a folder by suffix, sorted. Subfolders and hidden files are skipped.

    Raises:
        UserError: If the folder does not exist or holds no image.
    """
    if not isinstance(folder, (str, PathLike)) or not os.path.isdir(folder):
        raise UserError(f'{folder!r} is not a folder of images: expected the path of a folder.')
    paths = sorted(path for path in Path(folder).iterdir()
                   if path.suffix.lower() in SUFFIXES and not path.name.startswith('.') and path.is_file())
    if not paths:
        raise UserError(f'Folder {folder} has no image: expected files that end in {", ".join(SUFFIXES)}, in the '
                        f'folder itself.')
    return paths


def read_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as RGB. Apply its EXIF orientation and blend transparent pixels with white.

    Args:
        source (str | PathLike | np.ndarray | Image.Image): A file, an array or a Pillow image of any mode. An array
            is in OpenCV's channel order, as for mmseg's ``inference_model``: (H, W), (H, W, 1), (H, W, 3) BGR or
            (H, W, 4) BGRA, uint8 or uint16. Of 16-bit values, the higher 8 bits are used.
        max_pixels (int): Largest number of pixels.

    Returns:
        np.ndarray: RGB, (H, W, 3) uint8.

    Raises:
        UnreadableImage: If the file is missing, damaged or not an image, or the image exceeds ``max_pixels``.
        UserError: If an array has another shape or dtype, or the source has another type.
    """
    if isinstance(source, np.ndarray):
        picture, name = _from_array(source), 'The array'
    elif isinstance(source, Image.Image):
        picture, name = source, 'The Pillow image'
    elif isinstance(source, (str, PathLike)):
        return _read_file(Path(source), max_pixels)
    else:
        raise UserError(f'An image is given as {type(source).__name__}: expected a path, a NumPy array in BGR order, '
                        f'or a Pillow image.')
    _check_size(picture, name, max_pixels)
    return _to_rgb(picture, name)


def _read_file(path: Path, max_pixels: int) -> np.ndarray:
    """Read the pixels of a file; check its size before decoding."""
    if not os.path.isfile(path):  # Path.is_file raises an error if the name is too long
        raise UnreadableImage(f'Image {path} does not exist, or is not a file.')
    try:
        with Image.open(path) as picture:
            _check_size(picture, f'Image {path}', max_pixels)
            return _to_rgb(picture, f'Image {path}')
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f'Image {path} is too large for max_pixels (--max-pixels) = {max_pixels} ({error}): '
                              f'raise the limit if you trust the file.') from error
    except Exception as error:  # each decoder raises its own exceptions
        reason = str(error).partition('\n')[0].partition(' file \'')[0] or type(error).__name__
        raise UnreadableImage(f'Image {path} cannot be read ({reason}): it is truncated, or not an image.') from error


def _check_size(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise UnreadableImage(f'{name} has {width} x {height} = {width * height} pixels, but max_pixels (--max-pixels) '
                              f'is {max_pixels}: raise it, or make the image smaller.')


def _from_array(array: np.ndarray) -> Image.Image:
    """Convert an array in OpenCV's channel order to a Pillow image."""
    channels = array.shape[2] if array.ndim == 3 else array.ndim == 2
    if channels not in (1, 3, 4) or not array.size or array.dtype not in (np.uint8, np.uint16):
        raise UserError(f'An image array of shape {array.shape} and type {array.dtype} is not supported: expected '
                        f'(H, W), (H, W, 3) in BGR or (H, W, 4) in BGRA order, uint8 or uint16.')
    array = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array
    if channels == 1:
        return Image.fromarray(np.ascontiguousarray(array.reshape(array.shape[:2])))
    return Image.fromarray(np.ascontiguousarray(array[..., [2, 1, 0, 3][:channels]]))


def _to_rgb(picture: Image.Image, name: str) -> np.ndarray:
    """Convert a Pillow image of any mode to RGB, (H, W, 3) uint8."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith(('I', 'F')):  # Pillow's own conversion clips values at 255
        return _higher_bits(np.asarray(picture), name)
    if picture.has_transparency_data:
        picture = picture.convert('RGBA')
        picture = Image.alpha_composite(Image.new('RGBA', picture.size, 'white'), picture)
    return np.asarray(picture.convert('RGB'))


def _higher_bits(grey: np.ndarray, name: str) -> np.ndarray:
    """Reduce 16-bit grey values (H, W) to their higher 8 bits, (H, W, 3) uint8. Pillow may store them in 32 bits."""
    if grey.dtype.kind == 'f' or grey.min() < 0 or grey.max() > 0xFFFF:
        raise UnreadableImage(f'{name} has values of more than 16 bits, from {grey.min()} to {grey.max()}, whose '
                              f'largest value is unknown: save it with 8 or 16 bits per channel.')
    return np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, axis=2)

"""Reading of images from files, arrays and Pillow images."""
import os
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.depth import UnreadableImage, picture_of
from mmseg_mvp.utils.pixels import (
    MAX_PIXELS,
    SUFFIXES,
    TooManyPixels,
    allow_pixels,
    check_size,
    from_opencv,
    orientation_of,
    read_file,
    read_photo,
    reason,
    to_rgb,
    turned,
)
from mmseg_mvp.utils.stored import is_reduced

__all__ = ['MAX_PIXELS', 'ImageSource', 'TooManyPixels', 'UnreadableImage', 'allow_pixels', 'is_one_image',
           'iterate_images', 'list_images', 'read_image']

ImageSource = str | PathLike | np.ndarray | Image.Image


def list_images(folder: str | PathLike, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """List the images, or other files, of a folder by suffix, sorted. Subfolders and hidden files are skipped.

    Raises:
        UserError: If the folder does not exist or holds no image.
    """
    if not isinstance(folder, (str, PathLike)) or not os.path.isdir(folder):
        raise UserError(f'{folder!r} is not a folder of images: expected the path of a folder.')
    paths = sorted(path for path in Path(folder).iterdir()
                   if path.suffix.lower() in suffixes and not path.name.startswith('.') and path.is_file())
    if not paths:
        raise UserError(f'Folder {folder} has no image: expected files that end in {", ".join(suffixes)}, in the '
                        f'folder itself.')
    return paths


def iterate_images(inputs: ImageSource | Iterable[ImageSource]) -> Iterable[ImageSource]:
    """List the images of a folder, a single image, or the images of an iterable.

    Raises:
        UserError: If there is no image.
    """
    if is_one_image(inputs):
        return [inputs]
    return list_images(inputs) if _is_folder(inputs) else _at_least_one(inputs)


def _at_least_one(images: Iterable[ImageSource]) -> Iterator[ImageSource]:
    empty = True
    for image in images:
        empty = False
        yield image
    if empty:
        raise UserError('There is no image to segment, because the list of images is empty: give a path, an array or a '
                        'Pillow image, or a list with at least one of them.')


def is_one_image(inputs: object) -> bool:
    """True unless the input is a folder or an iterable of images; strings and arrays count as one image."""
    return not _is_folder(inputs) and (isinstance(inputs, (str, np.ndarray)) or not isinstance(inputs, Iterable))


def _is_folder(inputs: object) -> bool:
    return isinstance(inputs, (str, PathLike)) and os.path.isdir(inputs)


def read_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image as RGB. Apply its EXIF orientation and blend transparent pixels with white.

    Args:
        source (str | PathLike | np.ndarray | Image.Image): A file, an array or a Pillow image of any mode. An array
            is in OpenCV's channel order, as for mmseg's ``inference_model``: (H, W), (H, W, 1), (H, W, 3) BGR or
            (H, W, 4) BGRA, of integers or floats. All depths are scaled by :func:`mmseg_mvp.utils.depth.to_bytes`.
        max_pixels (int): Largest number of pixels.

    Returns:
        np.ndarray: RGB, (H, W, 3) uint8.

    Raises:
        UnreadableImage: If the file is missing, damaged or not an image, a value is not finite, or the image exceeds
            ``max_pixels``.
        UserError: If an array has another shape or type, or the source has another type.
    """
    if isinstance(source, (str, PathLike)):
        return read_file(Path(source), max_pixels)
    if isinstance(source, np.ndarray):
        _check_array(source)
        check_size(source.shape[1::-1], 'The array', max_pixels)
        return to_rgb(picture_of(from_opencv(source), 'The array'), 'The array')
    if isinstance(source, Image.Image):
        return _read_pillow(source, max_pixels)
    raise UserError(f'An image is given as {type(source).__name__}: expected a path, a NumPy array in BGR order, or a '
                    f'Pillow image.')


def _read_pillow(picture: Image.Image, max_pixels: int) -> np.ndarray:
    """Convert a Pillow image to RGB, (H, W, 3) uint8. An opened file of 16 bits is read again, by all of its bits."""
    name, file = 'The Pillow image', getattr(picture, 'fp', None)
    check_size(picture.size, name, max_pixels)
    try:
        if file and picture.tile and is_reduced(picture, file):
            if page := picture.tell():
                raise UnreadableImage(f'{name} is page {page + 1} of a file of 16 bits, of which Pillow decodes 8: '
                                      f'save the page as a file.')
            return read_photo(file, name, max_pixels).pixels
        return turned(to_rgb(picture, name), orientation_of(picture))
    except UserError:
        raise
    except Exception as error:  # an opened file is decoded here, and each decoder raises its own exceptions
        raise UnreadableImage(f'{name} of mode {picture.mode} and size {picture.size} cannot be read '
                              f'({reason(error)}): it is empty, closed, damaged, or of a mode without colours; convert '
                              f"it by convert('RGB').") from error


def _check_array(array: np.ndarray) -> None:
    channels = array.shape[2] if array.ndim == 3 else array.ndim == 2
    if channels not in (1, 3, 4) or not array.size or array.dtype.kind not in 'buif':
        raise UserError(f'An image array of shape {array.shape} and type {array.dtype} is not supported: expected '
                        f'(H, W), (H, W, 3) in BGR or (H, W, 4) in BGRA order, of integers or floats.')

"""Writing of pictures to files, and to the PNG that a notebook shows."""
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write

NOTEBOOK_SIDE = 960  # px: longest side of a single picture in a notebook
PICTURES = '.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp'


def save_picture(picture: np.ndarray, path: str | Path, overwrite: bool = False) -> None:
    """Write an RGB picture (H, W, 3) uint8; a failed write leaves no partial file.

    Raises:
        UserError: If the file exists and ``overwrite`` is False, can't be written, or has no suffix of a picture.
    """
    write_image(Image.fromarray(picture), path, overwrite, PICTURES)


def write_image(picture: Image.Image, path: str | Path, overwrite: bool, endings: tuple[str, ...]) -> None:
    """Write a Pillow image to a path with one of the ``endings``, as :func:`save_picture` does."""
    if not isinstance(path, (str, Path)):
        raise UserError(f'A picture cannot be saved as {path!r}: expected the path of a file.')
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise UserError(f'{path} does not end in {" or ".join(endings)}: give a name whose ending defines the format.')
    with atomic_write(path, overwrite) as temporary:
        picture.save(temporary)


def png(picture: np.ndarray, longest: int = NOTEBOOK_SIDE) -> bytes:
    """Encode an RGB picture (H, W, 3) uint8 as PNG, reduced to its longest side."""
    image, file = Image.fromarray(picture), BytesIO()
    image.thumbnail((longest, longest))
    image.save(file, 'PNG')
    return file.getvalue()

"""Limits of the web page, in the words of its visitors."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_mvp.apis.images import TooManyPixels, read_image
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies.parsing import separate

MOST_NAMES = 5000
LONGEST_TEXT = 100_000  # characters in the text of class names
TYPES = 'PNG, JPEG, WebP, TIFF, BMP, GIF, JPEG 2000 or PNM'


@dataclass(frozen=True)
class Limits:
    """Limits of an image and of class names.

    Args:
        megabytes (float): Largest file, in MB.
        pixels (int): Largest number of pixels of an image.
    """
    megabytes: float
    pixels: int

    def describe(self) -> str:
        """Return the limits as a sentence."""
        side = int(self.pixels ** .5)
        pixels = f'{self.pixels // 10**6} million' if self.pixels >= 10**6 else self.pixels
        return (f'Images: {TYPES}, up to {self.megabytes:g} MB and {pixels} pixels, such as {side} x {side}. '
                f'Classes: 2 to {MOST_NAMES} names.')

    def read(self, path: Path) -> np.ndarray:
        """Read an uploaded image, RGB, (H, W, 3) uint8.

        Raises:
            UserError: If it cannot be read or is too large. The file is named without the folder of the server.
        """
        try:
            return read_image(path, self.pixels)
        except TooManyPixels as error:
            width, height = error.size
            factor = (self.pixels / (width * height)) ** .5
            smaller = ' x '.join(str(max(int(side * factor), 1)) for side in error.size)
            raise UserError(f'Image {path.name} has {width} x {height} = {width * height} pixels, but the limit is '
                            f'{self.pixels}: make it smaller, such as {smaller}.') from error
        except UserError as error:
            raise UserError(str(error).replace(str(path), path.name)) from error


def class_names(text: str) -> tuple[list[str], list[str]]:
    """Split a text at line breaks and at commas or semicolons; names of files and label sets have no meaning here.

    Names that differ only in case, spaces and underscores are one class. The first one counts.

    Returns:
        tuple[list[str], list[str]]: The names, and those that were given again.

    Raises:
        UserError: If the text is too long, or has too many names, or both commas and semicolons.
    """
    if len(text) > LONGEST_TEXT:
        raise UserError(f'The classes have {len(text)} characters, but the limit is {LONGEST_TEXT}: give fewer '
                        f'classes.')
    found, again = {}, {}
    for name in separate((';' if ';' in text else ',').join(text.splitlines())):
        plain = ' '.join(name.replace('_', ' ').split()).casefold()
        (again if plain in found else found).setdefault(plain, name)
    if len(found) > MOST_NAMES:
        raise UserError(f'There are {len(found)} classes, but the limit is {MOST_NAMES}: give fewer classes.')
    return list(found.values()), list(again.values())


def describe_repeated(names: Sequence[str]) -> str:
    """Return a sentence about names that were given again; an empty one without such names."""
    if not names:
        return ''
    shown = ', '.join(f'"{name}"' for name in names[:10]) + ' and more' * (len(names) > 10)
    return f'Given more than once, counted once: {shown}.'

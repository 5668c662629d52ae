"""Note on a picture that a reader must not miss, such as that a toy made it."""
import textwrap

import numpy as np
from PIL import Image, ImageDraw

from .fonts import drawable, load_font
from .legend import TEXT

_INK, _PAPER = (255, 255, 255), (176, 0, 32)


def write_note(picture: np.ndarray, note: str | None, above: bool = False) -> np.ndarray:
    """Write a note in white on red over the top of a picture, RGB, (H, W, 3) uint8.

    The lines are as long as the picture is wide. None, or a picture without room for two words, leaves it unchanged.

    Args:
        picture (np.ndarray): RGB, (H, W, 3) uint8.
        note (str, optional): Text.
        above (bool): True adds rows above the picture; False hides its first rows, which keeps the size.

    Returns:
        np.ndarray: RGB, (H', W, 3) uint8.
    """
    if not note:
        return picture
    text, path = drawable(note)
    font = load_font(path, round(TEXT * max(1, max(picture.shape[:2]) / 1000)))
    columns = int(picture.shape[1] / font.getlength('n'))
    if columns < 12:
        return picture
    lines, height = textwrap.wrap(text, columns), sum(font.getmetrics()) + 2
    rows = height * len(lines) + 4
    page = Image.fromarray(np.pad(picture, ((rows * above, 0), (0, 0), (0, 0))))
    pen = ImageDraw.Draw(page)
    pen.rectangle((0, 0, page.width, rows - 1), _PAPER)
    for number, line in enumerate(lines):
        pen.text((6, 2 + number * height), line, _INK, font)
    return np.asarray(page)

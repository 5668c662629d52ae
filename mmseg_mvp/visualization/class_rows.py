"""One picture of a prediction: the photo once, and a row of maps for each class, on common scales."""
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mmseg_mvp.models.utils.reasons import Reason

from .fonts import DEJAVU, drawable, load_font
from .legend import GAP, INK, PAPER, ROW, SWATCH, TEXT, shortened, stack
from .overlay import ink_on
from .palette import distinct_colours

PANEL, PHOTO = 160, 400  # px: longest side of a panel and of the photo
BAR = (200, 12)  # px: width and height of a colour bar
NO_WINNER = (235, 235, 235)
GLOBAL = 'global prompt'  # its title; it does not compete with the other prompts


class ClassRow(NamedTuple):
    """Maps of a class over the whole image.

    Attributes:
        reason (Reason): Numbers of the class.
        colour (Sequence[int]): RGB of the class.
        score (np.ndarray): Logits, (h, w).
        views (np.ndarray): Cosines under each of P prompts, (P, h, w); P is 0 for a model without prompts.
        winners (np.ndarray, optional): Index of the prompt with the highest cosine at pixels of the class, -1
            elsewhere, (h, w) integers.
    """
    reason: Reason
    colour: Sequence[int]
    score: np.ndarray
    views: np.ndarray
    winners: np.ndarray | None


def draw_class_rows(image: np.ndarray, rows: Sequence[ClassRow], titles: Sequence[str], note: str = '') -> np.ndarray:
    """Draw the photo with the best place of each class, above a row for each class.

    A row has the facts of the class, its score, its map under each prompt and, for several prompts, the prompt with the
    highest cosine except the global one. The scores of all rows share one colour scale, and so do the cosines.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
        rows (Sequence[ClassRow]): One row per class, at least one.
        titles (Sequence[str]): Names of the P prompts.
        note (str): Text beside the photo.

    Returns:
        np.ndarray: RGB, (H', W', 3) uint8. The colour map (viridis) is perceptually uniform.
    """
    size = fitted(image.shape, PANEL)
    ranges = {'score (logit)': _range([row.score for row in rows])}
    if titles:
        ranges['cosine'] = _range([row.views for row in rows])
    prompts = distinct_colours(len(titles))
    body = [_row(number, row, size, list(ranges.values()), prompts, image.shape) for number, row in enumerate(rows, 1)]
    indent = max(_facts_width(number, row.reason) for number, row in enumerate(rows, 1))
    heads, competing = ['score', *titles], {}
    if rows[0].winners is not None:
        heads, competing = [*heads, 'highest prompt'], dict(zip(titles, prompts))
        competing.pop(GLOBAL, None)
    page = stack(_head(image, rows, ranges, note), _titles(heads, competing, indent, size[1]))
    for number, (row, panels) in enumerate(zip(rows, body), 1):
        page = stack(page, _with_facts(number, row, panels, indent))
    return page


def fitted(shape: Sequence[int], longest: int) -> tuple[int, int]:
    """Return (height, width) of an image of a shape (H, W, ...), scaled to its longest side."""
    return tuple(max(1, round(side * longest / max(shape[:2]))) for side in shape[:2])


def heat(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return the colours (h, w, 3) uint8 of values (h, w); the limits are the ends of viridis."""
    from matplotlib import colormaps

    low, high = limits
    return (colormaps['viridis']((values - low) / max(high - low, 1e-9))[..., :3] * 255).round().astype(np.uint8)


def _range(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    return float(min(one.min() for one in arrays)), float(max(one.max() for one in arrays))


def _row(number: int, row: ClassRow, size: tuple[int, int], limits: Sequence[tuple[float, float]],
         prompts: np.ndarray, shape: Sequence[int]) -> list[np.ndarray]:
    """Draw the panels (h, w, 3) of a class."""
    maps = [(row.score, limits[0]), *((one, limits[1]) for one in row.views)]
    panels = [heat(cv2.resize(one.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA), scale)
              for one, scale in maps]
    if row.winners is not None:
        table = np.array([*prompts, NO_WINNER], np.uint8)
        panels.append(cv2.resize(table[row.winners], size[::-1], interpolation=cv2.INTER_NEAREST))
    return [_marked(panels[0], [(number, row)], shape), *panels[1:]]


def _marked(picture: np.ndarray, marks: Sequence[tuple[int, ClassRow]], shape: Sequence[int]) -> np.ndarray:
    """Draw the numbers of classes at their best places into a picture (h, w, 3) of an image of a shape (H, W, ...)."""
    page = Image.fromarray(picture)
    pen, font = ImageDraw.Draw(page), load_font(DEJAVU, TEXT - 3)
    for number, row in marks:
        colour, radius = tuple(map(int, row.colour)), 8 + 3 * (number > 9)
        y, x = ((place + 0.5) * drawn / side for place, drawn, side in
                zip((row.reason.y, row.reason.x), picture.shape, shape))
        y, x = (min(max(place, radius), side - 1 - radius) for place, side in zip((y, x), picture.shape))
        pen.ellipse((x - radius, y - 8, x + radius, y + 8), colour, ink_on(colour))
        pen.text((x, y), str(number), ink_on(colour), font, anchor='mm')
    return np.asarray(page)


def _facts_width(number: int, reason: Reason) -> int:
    texts = [drawable(text) for text in _lines(number, reason)]
    return GAP + SWATCH + GAP // 2 + round(max(load_font(path, TEXT).getlength(text) for text, path in texts))


def _lines(number: int, reason: Reason) -> list[str]:
    """Return the text of a row; a long name of the winner is shortened, as that of the class is."""
    return [f'{number}  {shortened(reason.name)}', *map(shortened, reason.facts)]


def _with_facts(number: int, row: ClassRow, panels: Sequence[np.ndarray], indent: int) -> np.ndarray:
    """Draw the facts of a class on the left of its panels."""
    lines = _lines(number, row.reason)
    height, width = panels[0].shape[:2]
    page = Image.new('RGB', (indent + GAP + len(panels) * (width + GAP), max(height, len(lines) * ROW) + GAP), PAPER)
    pen = ImageDraw.Draw(page)
    pen.rectangle((GAP, 2, GAP + SWATCH, 2 + SWATCH), tuple(map(int, row.colour)), INK)
    for place, (text, path) in enumerate(map(drawable, lines)):
        pen.text((GAP + SWATCH + GAP // 2, place * ROW), text, INK, load_font(path, TEXT))
    for column, panel in enumerate(panels):
        page.paste(Image.fromarray(panel), (indent + GAP + column * (width + GAP), 0))
    return np.asarray(page)


def _titles(titles: Sequence[str], competing: dict[str, np.ndarray], indent: int, width: int) -> np.ndarray:
    """Draw the titles of the columns; prompts that compete in the last column have their colours in it."""
    page = Image.new('RGB', (indent + GAP + len(titles) * (width + GAP), ROW), PAPER)
    pen, font = ImageDraw.Draw(page), load_font(DEJAVU, TEXT - 2)
    for column, title in enumerate(titles):
        left = indent + GAP + column * (width + GAP)
        if title in competing:
            pen.rectangle((left, 6, left + TEXT - 4, 2 + TEXT), tuple(map(int, competing[title])), INK)
            left += TEXT
        pen.text((left, 4), title, INK, font)
    return np.asarray(page)


def _head(image: np.ndarray, rows: Sequence[ClassRow], ranges: dict[str, tuple[float, float]],
          note: str) -> np.ndarray:
    """Draw the photo with the best places, and on its right the colour scales and the note."""
    size = fitted(image.shape, PHOTO)
    photo = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if size[0] < len(image) else cv2.INTER_NEAREST)
    photo = _marked(photo, list(enumerate(rows, 1)), image.shape)
    font = load_font(DEJAVU, TEXT)
    lines = ['A number marks the pixel where its class is most probable.', *filter(None, [note])]
    width = max(BAR[0], *(round(font.getlength(line)) for line in lines))
    height = max(size[0], ROW * (len(lines) + 1 + 3 * len(ranges)))
    page = Image.new('RGB', (GAP + size[1] + GAP + width + GAP, height + 2 * GAP), PAPER)
    page.paste(Image.fromarray(photo), (GAP, GAP))
    pen, left = ImageDraw.Draw(page), GAP + size[1] + GAP
    for place, line in enumerate(lines):
        pen.text((left, GAP + place * ROW), line, INK, font)
    for place, (title, (low, high)) in enumerate(ranges.items()):
        top = GAP + (len(lines) + 0.5) * ROW + place * 2.5 * ROW
        pen.text((left, top), title, INK, font)
        bar = np.linspace(0, 1, BAR[0])[None].repeat(BAR[1], axis=0)
        page.paste(Image.fromarray(heat(bar, (0, 1))), (left, round(top) + ROW))
        pen.text((left, top + ROW + BAR[1] + 2), f'{low:.2f}', INK, font)
        pen.text((left + BAR[0], top + ROW + BAR[1] + 2), f'{high:.2f}', INK, font, anchor='ra')
    return np.asarray(page)

"""Common parts of pixel pictures: resizing, and a legend below the picture."""
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .fonts import drawable, load_font

GAP, ROW, SWATCH, TEXT = 12, 24, 14, 14  # px: gap between panels, line height, side of a colour field, font size
INK, PAPER, FAINT = (30, 30, 30), (255, 255, 255), (128, 128, 128)
LONGEST = 60  # characters per name


def resize(array: np.ndarray, size: tuple[int, int], smooth: bool = False) -> np.ndarray:
    """Resize labels (H, W) or an image (H, W, 3) by nearest neighbour; ``smooth`` averages in reductions of images."""
    reduce = smooth and size[0] < array.shape[0]
    picture = Image.fromarray(array if array.ndim == 3 else array.astype(np.int32))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BOX if reduce else Image.Resampling.NEAREST))


def draw_legend(entries: Sequence[tuple[str, Sequence[int]]], width: int, note: str = '',
                scale: float = 1) -> np.ndarray:
    """Draw names beside colour fields in lines: RGB, (h, w, 3) uint8, with h 0 if there is nothing to draw.

    Args:
        entries (Sequence[tuple[str, Sequence[int]]]): Names and RGB colours.
        width (int): Least width in px; long names extend it.
        note (str): Final text without colour.
        scale (float): Scale factor.
    """
    if not (entries or note):
        return np.empty((0, width, 3), np.uint8)
    gap, row, swatch, size = (round(scale * length) for length in (GAP, ROW, SWATCH, TEXT))
    texts = [(*drawable(shortened(name)), swatch + gap // 2) for name, _ in entries]
    texts += [(*drawable(note), 0)] * bool(note)
    needed = [indent + round(load_font(path, size).getlength(text)) for text, path, indent in texts]
    width = max([width, *(gap + one + gap for one in needed)])
    places = flow(needed, width, gap, row)
    strip = Image.new('RGB', (width, gap // 2 + places[-1][1] + row), PAPER)
    pen = ImageDraw.Draw(strip)
    for (text, path, indent), (x, y) in zip(texts, places):
        pen.text((x + indent, gap // 2 + y - 2), text, INK if indent else FAINT, load_font(path, size))
    for (_, colour), (x, y) in zip(entries, places):
        y += gap // 2
        pen.rectangle((x, y, x + swatch, y + swatch), tuple(int(channel) for channel in colour), INK)
    return np.asarray(strip)


def flow(widths: Sequence[int], width: int, gap: int, row: int) -> list[tuple[int, int]]:
    """Return positions (x, y) of items with given widths, from left to right in lines of ``width`` px."""
    places, x, y = [], gap, 0
    for needed in widths:
        if x > gap and x + needed + gap > width:
            x, y = gap, y + row
        places.append((x, y))
        x += needed + gap
    return places


def shortened(name: str) -> str:
    """Shorten a name to ``LONGEST`` characters."""
    return name if len(name) <= LONGEST else f'{name[:LONGEST - 1]}…'


def stack(picture: np.ndarray, strip: np.ndarray) -> np.ndarray:
    """Place a picture (H, w, 3) above a strip (h, W, 3), aligned left: (H + h, max(w, W), 3)."""
    page = np.full((len(picture) + len(strip), max(picture.shape[1], strip.shape[1]), 3), PAPER, np.uint8)
    page[:len(picture), :picture.shape[1]] = picture
    page[len(picture):, :strip.shape[1]] = strip
    return page

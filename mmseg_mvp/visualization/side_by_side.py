"""Image, ground truth and prediction in one picture, with a legend of the classes that occur in it."""
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHTS = (256, 512)  # px: smaller images are enlarged to the first, larger ones reduced to the second
GAP, ROW, SWATCH = 12, 24, 14  # px: between panels, per line of text, side of a legend's colour field
INK, PAPER, IGNORED = (30, 30, 30), (255, 255, 255), (128, 128, 128)


def side_by_side(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray | None, classes: Sequence[str],
                 palette: Sequence[Sequence[int]], unseen: Collection[str] = (), ignore_index: int = 255) -> np.ndarray:
    """Draw an image beside its label maps.

    Pixels that the ground truth ignores are hatched there and pale in the prediction, since they are not scored.

    Args:
        image: (H, W, 3) uint8, RGB.
        prediction: (H, W) integers, indices into `classes`.
        truth: (H, W) integers, or None where there is no ground truth.
        classes: Names, by index.
        palette: RGB colour of each class, 0..255.
        unseen: Names that the legend marks with a star.
        ignore_index: Label without a class.

    Returns:
        (H', W', 3) uint8, RGB: the panels under their titles, enlarged by a whole factor or reduced to fit, and below
        them the legend of the classes among scored pixels, largest first.
    """
    size = panel_size(*image.shape[:2])
    maps = [resize(labels, size) for labels in (truth, prediction) if labels is not None]
    scored = np.full(size, True) if truth is None else maps[0] != ignore_index
    panels = {'image': resize(image, size, smooth=True), **label_panels(maps, scored, palette)}
    present = classes_present([labels[scored] for labels in maps], len(classes))
    legend = [(classes[i] + '*' * (classes[i] in unseen), palette[i]) for i in present]
    has_unseen = any(classes[i] in unseen for i in present)
    return np.asarray(compose(panels, legend, note='* unseen in training' if has_unseen else ''))


def label_panels(maps: Sequence[np.ndarray], scored: np.ndarray, palette: Sequence[Sequence[int]]) -> dict:
    """Titled (H, W, 3) panels of [truth, prediction] or [prediction], by what is scored, (H, W) bool."""
    *truth, prediction = maps
    mask, colours = scored[..., None], colourise(prediction, palette)
    panels = {'ground truth': np.where(mask, colourise(labels, palette), hatching(scored.shape)) for labels in truth}
    pale = (0.3 * colours + 0.7 * 255).astype(np.uint8)
    panels['prediction' if scored.all() else 'prediction (pale: not scored)'] = np.where(mask, colours, pale)
    return panels


def panel_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of a panel: whole enlargement of small images, reduction of large ones."""
    smallest, largest = HEIGHTS
    if height > largest:
        return largest, max(1, round(width * largest / height))
    factor = max(1, -(-smallest // height))
    return height * factor, width * factor


def resize(array: np.ndarray, size: tuple[int, int], smooth: bool = False) -> np.ndarray:
    """Nearest neighbour to (height, width); with `smooth`, reductions average (for images, not for labels)."""
    reduce = smooth and size[0] < array.shape[0]
    picture = Image.fromarray(array if array.ndim == 3 else array.astype(np.int32))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BOX if reduce else Image.Resampling.NEAREST))


def colourise(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """(H, W) labels -> (H, W, 3) uint8; labels outside the palette become grey."""
    table = np.array([*palette, IGNORED], dtype=np.uint8)
    return table[np.where((labels >= 0) & (labels < len(palette)), labels, len(palette))]


def hatching(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: grey diagonal lines, which no class's colour looks like."""
    rows, columns = np.indices(size)
    lines = (rows + columns) % 8 < 2
    return np.where(lines[..., None], np.uint8(150), np.uint8(225)).repeat(3, axis=2)


def classes_present(maps: Sequence[np.ndarray], count: int) -> list[int]:
    """Indices of the classes among the labels, largest area first."""
    labels = np.concatenate([labels.ravel() for labels in maps])
    areas = np.bincount(labels[(labels >= 0) & (labels < count)], minlength=count)
    return [int(i) for i in np.argsort(-areas, kind='stable') if areas[i]]


def legend_places(labels: Sequence[str], width: int, font: ImageFont.FreeTypeFont) -> list[tuple[int, int]]:
    """(x, y) of each legend entry, flowing from left to right in a page `width` px wide."""
    places, x, y = [], GAP, 0
    for label in labels:
        needed = SWATCH + 6 + round(font.getlength(label)) + GAP
        if x > GAP and x + needed > width:
            x, y = GAP, y + ROW
        places.append((x, y))
        x += needed
    return places


def compose(panels: dict[str, np.ndarray], legend: Sequence[tuple[str, Sequence[int]]], note: str) -> Image.Image:
    """Lay titled panels in a row and the legend, with its note, below."""
    font = ImageFont.load_default(size=14)
    height, width = next(iter(panels.values())).shape[:2]
    step = max([width, *(round(font.getlength(title)) for title in panels)]) + GAP
    page_width = GAP + len(panels) * step
    places = legend_places([*(label for label, _ in legend), note], page_width, font)
    page = Image.new('RGB', (page_width, ROW + height + GAP + places[-1][1] + ROW), PAPER)
    pen = ImageDraw.Draw(page)
    for column, (title, panel) in enumerate(panels.items()):
        pen.text((GAP + column * step, 4), title, INK, font)
        page.paste(Image.fromarray(panel), (GAP + column * step, ROW))
    top = ROW + height + GAP // 2
    for (label, colour), (x, y) in zip(legend, places):
        pen.rectangle((x, top + y, x + SWATCH, top + y + SWATCH), tuple(colour), INK)
        pen.text((x + SWATCH + 6, top + y - 2), label, INK, font)
    pen.text((places[-1][0], top + places[-1][1] - 2), note, IGNORED, font)
    return page

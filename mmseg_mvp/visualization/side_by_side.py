"""Image, ground truth and prediction in one picture, with a legend of the classes that occur in it."""
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .fonts import DEJAVU, load_font
from .legend import FAINT, GAP, INK, PAPER, ROW, TEXT, draw_legend, resize, stack

HEIGHTS = (256, 512)  # px: smaller images are enlarged to the first, larger ones reduced to the second
WIDEST = 2048  # px: images are not enlarged beyond


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
    row = panel_row(panels)
    return stack(row, draw_legend(legend, row.shape[1], note='* unseen in training' if has_unseen else ''))


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
    factor = max(1, min(-(-smallest // height), WIDEST // width))
    return height * factor, width * factor


def colourise(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """(H, W) labels -> (H, W, 3) uint8; labels outside the palette become grey."""
    table = np.array([*palette, FAINT], dtype=np.uint8)
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


def panel_row(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Titled panels (H, W, 3) of one size in a row."""
    font = load_font(DEJAVU, TEXT)
    height, width = next(iter(panels.values())).shape[:2]
    step = max([width, *(round(font.getlength(title)) for title in panels)]) + GAP
    page = Image.new('RGB', (GAP + len(panels) * step, ROW + height), PAPER)
    pen = ImageDraw.Draw(page)
    for column, (title, panel) in enumerate(panels.items()):
        pen.text((GAP + column * step, 4), title, INK, font)
        page.paste(Image.fromarray(panel), (GAP + column * step, ROW))
    return np.asarray(page)

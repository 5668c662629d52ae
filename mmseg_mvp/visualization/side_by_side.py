"""Image, ground truth and prediction in one picture, with a legend of the present classes."""
from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .fonts import DEJAVU, load_font
from .legend import FAINT, GAP, INK, PAPER, ROW, TEXT, draw_legend, resize, stack

HEIGHTS = (256, 512)  # px: least and largest height of a panel
WIDEST = 2048  # px: largest width of an enlarged image


def side_by_side(image: np.ndarray, prediction: np.ndarray, truth: np.ndarray | None, classes: Sequence[str],
                 palette: Sequence[Sequence[int]], unseen: Collection[str] = (), ignore_index: int = 255) -> np.ndarray:
    """Draw an image beside its label maps.

    Pixels ignored by the ground truth are hatched there and pale in the prediction.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
        prediction (np.ndarray): Indices into ``classes``, (H, W) integers.
        truth (np.ndarray, optional): Ground truth, (H, W) integers; None draws no such panel.
        classes (Sequence[str]): Class names by index.
        palette (Sequence[Sequence[int]]): RGB of each class, 0 to 255.
        unseen (Collection[str]): Names marked with a star in the legend.
        ignore_index (int): Label of ignored pixels.

    Returns:
        np.ndarray: RGB, (H', W', 3) uint8: titled panels, enlarged by an integer factor or reduced to fit, above the
        legend of the classes among scored pixels, largest area first.
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


def compared_panels(maps: dict[str, np.ndarray], scored: np.ndarray, palette: Sequence[Sequence[int]]
                    ) -> dict[str, np.ndarray]:
    """Draw titled panels (H, W, 3) of label maps of one size by title; pixels outside ``scored`` (H, W) are hatched."""
    return {title: np.where(scored[..., None], colourise(labels, palette), hatching(scored.shape))
            for title, labels in maps.items()}


def label_panels(maps: Sequence[np.ndarray], scored: np.ndarray, palette: Sequence[Sequence[int]]) -> dict:
    """Draw titled panels (H, W, 3) of [truth, prediction] or [prediction]. ``scored`` is (H, W) bool."""
    *truth, prediction = maps
    mask, colours = scored[..., None], colourise(prediction, palette)
    panels = compared_panels({'ground truth': labels for labels in truth}, scored, palette)
    pale = (0.3 * colours + 0.7 * 255).astype(np.uint8)
    panels['prediction' if scored.all() else 'prediction (pale: not scored)'] = np.where(mask, colours, pale)
    return panels


def panel_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of a panel: integer enlargement of small images, reduction of large ones."""
    smallest, largest = HEIGHTS
    if height > largest:
        return largest, max(1, round(width * largest / height))
    factor = max(1, min(-(-smallest // height), WIDEST // width))
    return height * factor, width * factor


def colourise(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Convert labels (H, W) to colours (H, W, 3) uint8; labels outside the palette become grey."""
    table = np.array([*palette, FAINT], dtype=np.uint8)
    return table[np.where((labels >= 0) & (labels < len(palette)), labels, len(palette))]


def hatching(size: tuple[int, int]) -> np.ndarray:
    """Draw grey diagonal lines, distinct from all class colours, (H, W, 3) uint8."""
    rows, columns = np.indices(size)
    lines = (rows + columns) % 8 < 2
    return np.where(lines[..., None], np.uint8(150), np.uint8(225)).repeat(3, axis=2)


def classes_present(maps: Sequence[np.ndarray], count: int) -> list[int]:
    """Return the indices of classes in label maps, largest area first."""
    labels = np.concatenate([labels.ravel() for labels in maps])
    areas = np.bincount(labels[(labels >= 0) & (labels < count)], minlength=count)
    return [int(i) for i in np.argsort(-areas, kind='stable') if areas[i]]


def panel_row(panels: dict[str, np.ndarray]) -> np.ndarray:
    """Draw titled panels (H, W, 3) of equal size in a row."""
    font = load_font(DEJAVU, TEXT)
    height, width = next(iter(panels.values())).shape[:2]
    step = max([width, *(round(font.getlength(title)) for title in panels)]) + GAP
    page = Image.new('RGB', (GAP + len(panels) * step, ROW + height), PAPER)
    pen = ImageDraw.Draw(page)
    for column, (title, panel) in enumerate(panels.items()):
        pen.text((GAP + column * step, 4), title, INK, font)
        page.paste(Image.fromarray(panel), (GAP + column * step, ROW))
    return np.asarray(page)

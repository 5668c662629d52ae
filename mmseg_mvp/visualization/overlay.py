"""Label map over its image: colours, names on the regions, and a legend."""
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.checking import check_number

from .fonts import drawable, load_font
from .legend import TEXT, draw_legend, resize, shortened, stack
from .palette import distinct_colours, to_linear
from .places import place_boxes
from .side_by_side import classes_present

SIDES = (320, 4096)  # px: least short side (enlargement) and largest long side (reduction)
PAD = 3  # px: padding of a name in its box


def draw_overlay(image: np.ndarray, labels: np.ndarray, names: Sequence[str], colours: np.ndarray | None = None,
                 alpha: float = 0.55, ignore_index: int = IGNORE) -> np.ndarray:
    """Draw the colours of a label map over its image.

    Each name appears once, in the largest connected region of its class, if the region has room.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
        labels (np.ndarray): Indices into ``names``, (H, W) integers. Pixels with other values stay unchanged.
        names (Sequence[str]): Names of the N classes in any script, see :func:`mmseg_mvp.visualization.fonts.drawable`.
        colours (np.ndarray, optional): RGB of each class, (N, 3), 0 to 255; None takes :func:`distinct_colours`.
        alpha (float): Opacity of the colours, 0 to 1.
        ignore_index (int): Label of ignored pixels, even if it is below N.

    Returns:
        np.ndarray: RGB, (H', W', 3) uint8: the picture, enlarged by an integer factor if small, above the legend of
        present labels, largest area first.

    Raises:
        UserError: If image and labels, or names and colours, differ in size, or an argument has a wrong type.
    """
    image, labels = np.asarray(image), np.asarray(labels)
    _check_pixels(image, labels)
    colours = _checked_colours(colours, names)
    check_number('The alpha of draw_overlay', alpha, least=0, most=1)
    none = (labels < 0) | (labels >= len(names)) | (labels == ignore_index)  # before the cast to 32 bits
    labels = np.where(none, -1, labels.astype(np.int64)).astype(np.int32)
    present = classes_present([labels], len(names))
    size = picture_size(*labels.shape)
    image, labels = resize(image, size, smooth=True), resize(labels, size)
    scale = max(1, max(size) / 1000)
    picture = outline(blend(image, labels, colours, alpha), labels, colours, round(scale))
    texts = {index: drawable(shortened(names[index])) for index in present}
    picture = write_names(picture, labels, texts, colours, round(scale * TEXT))
    return stack(picture, draw_legend([(names[i], colours[i]) for i in present], size[1], scale=scale))


def _check_pixels(image: np.ndarray, labels: np.ndarray) -> None:
    if image.shape[:2] != labels.shape or image.shape[2:] != (3,) or not labels.size:
        raise UserError(f'draw_overlay got an image of shape {image.shape} and labels of shape {labels.shape}: '
                        f'expected (H, W, 3) and (H, W) of the same size, of a pixel at least.')
    if image.dtype != np.uint8 or labels.dtype.kind not in 'iub':
        raise UserError(f'draw_overlay got an image of type {image.dtype} and labels of type {labels.dtype}: expected '
                        f'uint8 and integers.')


def _checked_colours(colours: np.ndarray | None, names: Sequence[str]) -> np.ndarray:
    """Return the RGB of each class, (N, 3) uint8. Raise UserError for invalid names or colours."""
    if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UserError(f'draw_overlay got the names {names!r}: expected a list of strings.')
    if colours is None:
        return distinct_colours(len(names))
    if len(colours) != len(names):
        raise UserError(f'draw_overlay got {len(colours)} colours for {len(names)} names: give one for each.')
    if any(np.ndim(colour) != 1 or len(colour) != 3 for colour in colours):
        raise UserError('draw_overlay got colours that are not (N, 3): give three numbers, R, G and B, for each name.')
    for value in (value for colour in colours for value in colour):
        check_number('A channel of a colour of draw_overlay', value, least=0, most=255)
    return np.asarray(colours, np.uint8).reshape(-1, 3)


def picture_size(height: int, width: int) -> tuple[int, int]:
    """Return (height, width) of the picture: integer enlargement of small images, reduction of large ones."""
    smallest, largest = SIDES
    if max(height, width) > largest:
        return tuple(max(1, round(side * largest / max(height, width))) for side in (height, width))
    factor = max(1, min(-(-smallest // min(height, width)), largest // 2 // max(height, width)))
    return height * factor, width * factor


def blend(image: np.ndarray, labels: np.ndarray, colours: np.ndarray, alpha: float) -> np.ndarray:
    """Mix an image (H, W, 3) with the colours (N, 3) of its labels (H, W), except at negative labels."""
    table = np.array([*colours, (0, 0, 0)], np.uint8)  # last entry for label -1
    return np.where(labels[..., None] < 0, image, cv2.addWeighted(image, 1 - alpha, table[labels], alpha, 0))


def outline(picture: np.ndarray, labels: np.ndarray, colours: np.ndarray, width: int) -> np.ndarray:
    """Draw a line in the colour (N, 3) of each region, ``width`` px wide, inside its border, in place."""
    edge = np.zeros(labels.shape, bool)
    for one, border in ((labels, edge), (labels.T, edge.T)):
        change = one[width:] != one[:-width]
        border[width:] |= change
        border[:-width] |= change
    edge &= labels >= 0
    picture[edge] = colours[labels[edge]]
    return picture


def write_names(picture: np.ndarray, labels: np.ndarray, texts: dict[int, tuple[str, str]], colours: np.ndarray,
                size: int) -> np.ndarray:
    """Write names in boxes of their colours into the regions that have room: (H, W, 3) uint8.

    Args:
        picture (np.ndarray): RGB, (H, W, 3) uint8.
        labels (np.ndarray): Labels, (H, W) integers.
        texts (dict[int, tuple[str, str]]): Text and font file by label; earlier ones have priority.
        colours (np.ndarray): RGB of each class, (N, 3).
        size (int): Font size in px.
    """
    fonts = {index: load_font(path, size) for index, (_, path) in texts.items()}
    boxes = {index: (sum(fonts[index].getmetrics()) + 2, round(fonts[index].getlength(text)) + 2 * PAD)
             for index, (text, _) in texts.items()}
    page = Image.fromarray(picture)
    pen = ImageDraw.Draw(page)
    for index, (top, left) in place_boxes(labels, boxes).items():
        height, width = boxes[index]
        box = (left, top, left + width - 1, top + height - 1)
        colour = tuple(int(channel) for channel in colours[index])
        pen.rounded_rectangle(box, PAD, colour, ink_on(colour))
        pen.text((left + PAD, top + 1), texts[index][0], ink_on(colour), fonts[index])
    return np.asarray(page)


def ink_on(colour: Sequence[int]) -> tuple[int, int, int]:
    """Return black or white, the one with more contrast to a colour: at least 4.5 to 1 (WCAG 2, relative luminance)."""
    luminance = float(to_linear(colour) @ (0.2126, 0.7152, 0.0722))
    return (0, 0, 0) if (luminance + 0.05)**2 > 0.05 * 1.05 else (255, 255, 255)

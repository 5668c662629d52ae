"""Pixels of outlines, boxes and run lengths."""
import importlib
import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from PIL import Image, ImageDraw

from mmseg_mvp.errors import UserError
from mmseg_mvp.host import extra_advice

from .records import Shape
from .runs import by_columns, counts_of


def extra(module: str, purpose: str) -> ModuleType:
    """Import a module of the extra ``annotations``.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'{purpose} needs the package {module.partition(".")[0]}, which is not installed: '
                        f'{extra_advice("annotations")}') from error


def check_extent(points: np.ndarray, shape: Shape, where: str) -> None:
    """Check that an outline (N, 2) stays near its photo, because rasterisers follow it pixel by pixel.

    Raises:
        UserError: If a point is further from the photo than twice its longer side, or the outline is longer than the
            photo has pixels.
    """
    height, width = shape
    reach = 2 * max(height, width) + 64
    far = (points < -reach) | (points > [width + reach, height + reach])
    length = np.abs(np.diff(points, axis=0, append=points[:1])).sum() if len(points) else 0
    if far.any() or length > height * width + 64 * reach:
        raise UserError(f'{where} has a shape far outside its photo of {width} x {height} pixels: the file is of '
                        'another photo, or damaged; delete the shape.')


def draw_outlines(outlines: Sequence[np.ndarray], shape: Shape, where: str) -> np.ndarray:
    """Fill outlines as COCO does, where (0, 0) is the corner of a pixel: union of all, (H, W) bool.

    Args:
        outlines (Sequence[np.ndarray]): Outlines of at least 3 points, each (N, 2).
        shape (Shape): Height and width.
        where (str): Description for messages.

    Raises:
        UserError: If an outline has too few points or is far outside, or pycocotools is not installed.
    """
    masks = extra('pycocotools.mask', 'An annotation with outlines')
    for outline in outlines:
        if len(outline) < 3:
            raise UserError(f'{where} has an outline of {len(outline)} points: draw at least 3, or delete the shape.')
        check_extent(outline, shape, where)
    if not outlines:
        return np.zeros(shape, bool)
    encoded = masks.frPyObjects([outline.ravel().tolist() for outline in outlines], *shape)
    # pycocotools' own decoder is slower for small shapes in large photos.
    return by_columns(counts_of(masks.merge(encoded)['counts'].decode('ascii'), where), shape, where)


def draw_by_pillow(kind: str, points: np.ndarray, shape: Shape, width: int = 0) -> np.ndarray:
    """Draw a shape as labelme does, where (0, 0) is the centre of a pixel and outlines are part of it: (H, W) bool.

    Args:
        kind (str): Method of ``PIL.ImageDraw``: polygon, rectangle, ellipse or line.
        points (np.ndarray): Points, (N, 2).
        shape (Shape): Height and width.
        width (int): Width of a line.
    """
    picture = Image.new('L', shape[::-1])
    how = dict(width=width) if kind == 'line' else dict(outline=1)
    getattr(ImageDraw.Draw(picture), kind)([tuple(point) for point in points.tolist()], fill=1, **how)
    return np.asarray(picture).astype(bool)


def turned_box(x: float, y: float, width: float, height: float, degrees: float, pivot: tuple[float, float]
               ) -> np.ndarray:
    """Return the corners (4, 2) of a box that is turned clockwise about a point."""
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    return turned_about(corners, degrees, pivot)


def ellipse(cx: float, cy: float, rx: float, ry: float, degrees: float) -> np.ndarray:
    """Return an outline (N, 2) of an ellipse that is turned clockwise about its centre."""
    count = int(np.clip(2 * math.pi * max(abs(rx), abs(ry), 1), 16, 2000))
    angles = np.linspace(0, 2 * math.pi, count, endpoint=False)
    return turned_about(np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], 1), degrees, (cx, cy))


def turned_about(points: np.ndarray, degrees: float, pivot: tuple[float, float]) -> np.ndarray:
    """Turn points (N, 2) clockwise, as seen with y pointing down."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return (points - pivot) @ np.array([[cosine, sine], [-sine, cosine]]) + pivot


def pasted(mask: np.ndarray, left: int, top: int, shape: Shape) -> np.ndarray:
    """Place a mask (h, w) into an empty photo, (H, W) bool. Parts outside the photo are cut off."""
    whole = np.zeros(shape, bool)
    x, y = max(left, 0), max(top, 0)
    part = mask[y - top:max(shape[0] - top, 0), x - left:max(shape[1] - left, 0)]
    whole[y:y + part.shape[0], x:x + part.shape[1]] = part
    return whole

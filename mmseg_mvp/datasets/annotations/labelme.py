"""Reading of labelme's JSON files, drawn as labelme's own ``shapes_to_label`` draws them."""
import base64
import binascii
from functools import partial
from pathlib import Path

import numpy as np

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.masks import decode_mask

from .records import Annotation, Region, Shape, Source, label_of, points_of, size_of, value_of
from .shapes import check_extent, draw_by_pillow, pasted

KIND = 'labelme'
_NUM_POINTS = {'circle': 2, 'rectangle': 2, 'line': 2, 'point': 1, 'oriented_rectangle': 4, 'mask': 2}
_LINE_WIDTH, _POINT_RADIUS = 10, 5  # in pixels, the defaults of labelme's shape_to_mask


def is_labelme(content: object) -> bool:
    return isinstance(content, dict) and 'shapes' in content


def read_labelme(content: dict, file: Path) -> Source:
    """Read the content of a labelme file.

    Raises:
        UserError: If an entry has a wrong type, or a shape is of an unknown kind.
    """
    where = f'labelme file {str(file)!r}'
    named = value_of(content, 'imagePath', str, where, '')
    size = size_of(content.get('imageHeight'), content.get('imageWidth'), where)
    regions = [_region(shape, where) for shape in value_of(content, 'shapes', list, where)]
    embedded = value_of(content, 'imageData', str, where, '')
    photo = from_base64(embedded, where) if embedded else None
    return Source(KIND, [Annotation(where, (named, file.name) if named else (file.name, ), size, regions, photo)])


def from_base64(text: str, where: str) -> bytes:
    """Decode the content of a file.

    Raises:
        UserError: If the text is not base64.
    """
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise UserError(f'{where} holds a picture that is not base64 ({error}): save the file again in the annotation '
                        'tool.') from error


def _region(shape: object, where: str) -> Region:
    label = label_of(value_of(shape, 'label', object, where), where)
    kind = value_of(shape, 'shape_type', str, where, 'polygon')
    points = points_of(value_of(shape, 'points', list, where), where)
    if kind not in (*_NUM_POINTS, 'polygon', 'linestrip'):
        raise UserError(f'{where} has a shape of the kind {kind!r}, class {label!r}: expected polygon, linestrip, '
                        f'{", ".join(_NUM_POINTS)}; draw it as a polygon, or delete it.')
    least = {'polygon': 3, 'linestrip': 2}.get(kind)
    if len(points) < least if least else len(points) != _NUM_POINTS[kind]:
        raise UserError(f'{where} has a {kind} of {len(points)} points, class {label!r}: expected '
                        f'{f"at least {least}" if least else _NUM_POINTS[kind]}; draw it again, or delete it.')
    if kind == 'mask':
        mask = decode_mask(from_base64(value_of(shape, 'mask', str, where), where), f'A mask in {where}').values > 0
        return Region(label, partial(_draw_mask, mask, points, where=where))
    return Region(label, partial(_draw, kind, points, where=where))


def _draw(kind: str, points: np.ndarray, shape: Shape, where: str) -> np.ndarray:
    if kind in ('circle', 'point'):
        centre = points[0]
        radius = np.hypot(*(points[1] - centre)) if kind == 'circle' else _POINT_RADIUS
        kind, points = 'ellipse', np.stack([centre - radius, centre + radius])
    if kind == 'rectangle':
        points = np.stack([points.min(0), points.max(0)])
    check_extent(points, shape, where)
    method = {'ellipse': 'ellipse', 'rectangle': 'rectangle', 'line': 'line', 'linestrip': 'line'}.get(kind, 'polygon')
    return draw_by_pillow(method, points, shape, _LINE_WIDTH)


def _draw_mask(mask: np.ndarray, points: np.ndarray, shape: Shape, where: str) -> np.ndarray:
    """Place a mask (h, w) whose corner pixels are the points (2, 2)."""
    check_extent(points, shape, where)
    (left, top), (right, bottom) = points.astype(int).tolist()
    if mask.shape != (bottom - top + 1, right - left + 1):
        raise UserError(f'{where} has a mask of {mask.shape[1]} x {mask.shape[0]} pixels in a box of '
                        f'{right - left + 1} x {bottom - top + 1}: draw it again, or delete it.')
    return pasted(mask, left, top, shape)

"""Reading of the XML files of CVAT, format "CVAT for images 1.1"."""
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np

from mmseg_mvp.errors import UserError

from .records import Annotation, Region, Shape, Source, label_of, points_of, size_of
from .runs import from_counts
from .shapes import draw_outlines, ellipse, extra, pasted, turned_box

KIND = 'CVAT'
_NOT_SHAPES = ('tag', 'attribute')


def parse(content: bytes, file: Path) -> Element:
    """Parse an XML file without entities and links to other files.

    Raises:
        UserError: If it is damaged, declares entities, or defusedxml is not installed.
    """
    reader = extra('defusedxml.ElementTree', f'The XML file {str(file)!r}')
    try:
        return reader.fromstring(content, forbid_dtd=True)
    except (ParseError, ValueError, RecursionError) as error:  # defusedxml raises ValueErrors
        raise UserError(f'{str(file)!r} cannot be read as XML ({str(error)[:100] or type(error).__name__}): export it '
                        'again as "CVAT for images 1.1".') from error


def read_cvat(root: Element, file: Path) -> Source:
    """Read a parsed file of CVAT. Shapes are painted by ``z_order``, then in the order of the file.

    Raises:
        UserError: If it has tracks of a video, an unknown shape, or a value of a wrong form.
    """
    where = f'CVAT file {str(file)!r}'
    if root.find('track') is not None:
        raise UserError(f'{where} has the tracks of a video: export the task as "CVAT for images 1.1".')
    names = [label_of(label.findtext('name'), where) for label in root.iterfind('.//meta//label')
             if not (label.findtext('parent') or '').strip()]
    images = []
    for image in root.iterfind('image'):
        name = image.get('name') or ''
        there = f'{where}, image {name!r}'
        size = size_of(_number(image, 'height', there), _number(image, 'width', there), there)
        shapes = [shape for shape in image if shape.tag not in _NOT_SHAPES]
        shapes.sort(key=lambda shape: _number(shape, 'z_order', there, 0))
        images.append(Annotation(there, (name, ), size, [_region(shape, there) for shape in shapes]))
    return Source(KIND, images, list(dict.fromkeys(names)))


def _region(shape: Element, where: str) -> Region:
    label = label_of(shape.get('label'), where)
    if shape.tag == 'mask':
        return Region(label, partial(_draw_mask, *_mask(shape, where), where=where))
    outline = {'polygon': _polygon, 'box': _box, 'ellipse': _ellipse}.get(shape.tag)
    if outline is None:
        raise UserError(f'{where} has a shape of the kind {shape.tag!r}, class {label!r}: expected polygon, box, '
                        'ellipse or mask; draw it as a polygon, or delete it.')
    return Region(label, partial(draw_outlines, [outline(shape, where)], where=where))


def _polygon(shape: Element, where: str) -> np.ndarray:
    return points_of([pair.split(',') for pair in (shape.get('points') or '').split(';')], where)


def _box(shape: Element, where: str) -> np.ndarray:
    left, top, right, bottom = (_number(shape, key, where) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
    centre = (left + right) / 2, (top + bottom) / 2
    return turned_box(left, top, right - left, bottom - top, _number(shape, 'rotation', where, 0), centre)


def _ellipse(shape: Element, where: str) -> np.ndarray:
    return ellipse(*(_number(shape, key, where) for key in ('cx', 'cy', 'rx', 'ry')),
                   _number(shape, 'rotation', where, 0))


def _mask(shape: Element, where: str) -> tuple[list[int], tuple[int, int, int, int]]:
    """Return run lengths along the rows, and left, top, width and height of the box of a mask."""
    try:
        counts = [int(count) for count in (shape.get('rle') or '').split(',')]
    except ValueError as error:
        raise UserError(f'{where} has a mask with the run lengths {str(shape.get("rle"))[:40]!r}: export the file '
                        'again.') from error
    return counts, tuple(int(_number(shape, key, where)) for key in ('left', 'top', 'width', 'height'))


def _draw_mask(counts: list[int], box: tuple[int, int, int, int], shape: Shape, where: str) -> np.ndarray:
    left, top, width, height = box
    if not (0 <= left <= left + width <= shape[1] and 0 <= top <= top + height <= shape[0]):
        raise UserError(f'{where} has a mask in the box {box}, outside its photo of {shape[1]} x {shape[0]} pixels: '
                        'export the file again.')
    return pasted(from_counts(counts, (height, width), where).reshape(height, width), left, top, shape)


def _number(element: Element, key: str, where: str, default: float | None = None) -> float:
    text = element.get(key)
    if text is None and default is not None:
        return default
    try:
        number = float(text)
        if not np.isfinite(number):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise UserError(f'{where} has {text!r} as {key} of <{element.tag}>: expected a number; export the file '
                        'again.') from error
    return number

"""Reading of Label Studio's JSON exports: brush masks, outlines, boxes and ellipses."""
import re
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from mmseg_mvp.errors import UserError

from .records import Annotation, Region, Shape, Source, label_of, points_of, size_of, value_of
from .runs import from_brush
from .shapes import draw_outlines, ellipse, turned_box

KIND = 'Label Studio'
_KINDS = {'brush': 'brush', 'brushlabels': 'brush', 'polygon': 'polygon', 'polygonlabels': 'polygon',
          'rectangle': 'box', 'rectanglelabels': 'box', 'ellipse': 'ellipse', 'ellipselabels': 'ellipse'}
# Answers about a whole photo, and the labels that stand beside their shape.
_NOT_SHAPES = ('labels', 'choices', 'textarea', 'rating', 'number', 'datetime', 'taxonomy', 'ranker', 'pairwise')
_NUMBER = (int, float)
_UPLOADED = re.compile(r'^[0-9a-f]{8}-')  # put before the names of uploaded files


def is_label_studio(content: object) -> bool:
    tasks = content if isinstance(content, list) else [content]
    return bool(tasks) and all(isinstance(task, dict) and isinstance(task.get('annotations'), list)
                               and isinstance(task.get('data'), dict) for task in tasks)


def read_label_studio(content: list | dict, file: Path) -> Source:
    """Read an export of Label Studio, format "JSON". Predictions and skipped annotations are left out.

    Raises:
        UserError: If a task has several annotations, a shape is of an unknown kind, or a value has a wrong type.
    """
    tasks = content if isinstance(content, list) else [content]
    return Source(KIND, [_annotation(task, file) for task in tasks])


def _annotation(task: dict, file: Path) -> Annotation:
    where = f'Label Studio file {str(file)!r}, task {task.get("id")!r}'
    kept = [one for one in task['annotations'] if isinstance(one, dict) and not one.get('was_cancelled')]
    kept = [one for one in kept if one.get('ground_truth')] or kept
    if len(kept) > 1:
        raise UserError(f'{where} has {len(kept)} annotations: keep one, or mark one as ground truth.')
    results = value_of(kept[0], 'result', list, where) if kept else []
    results = [one for one in results if value_of(one, 'type', str, where) not in _NOT_SHAPES + ('relation', )]
    labels = _labels_by_region(value_of(kept[0], 'result', list, where) if kept else [])
    sizes = {size_of(one.get('original_height'), one.get('original_width'), where) for one in results}
    if len(sizes) > 1:
        raise UserError(f'{where} has shapes of several photos: export one photo per task.')
    regions = [_region(one, labels, where) for one in results]
    return Annotation(where, _photos(task['data']), sizes.pop() if sizes else None, regions)


def _photos(data: dict) -> tuple[str, ...]:
    """Return the names that the photo of a task can have."""
    names = []
    for address in (value for value in data.values() if isinstance(value, str)):
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        path = parse_qs(parts.query).get('d', [unquote(parts.path)])[0]
        folder, slash, name = path.rpartition('/')
        names += [path, folder + slash + _UPLOADED.sub('', name)]
    return tuple(dict.fromkeys(names))


def _labels_by_region(results: list) -> dict[Any, list]:
    """Return the labels that stand in a result of their own, by the id of the region."""
    return {one.get('id'): one['value']['labels'] for one in results
            if isinstance(one, dict) and one.get('type') == 'labels' and isinstance(one.get('value'), dict)
            and isinstance(one['value'].get('labels'), list)}


def _region(one: dict, beside: dict[Any, list], where: str) -> Region:
    kind, value = one['type'], value_of(one, 'value', dict, where)
    if kind not in _KINDS:
        raise UserError(f'{where} has a shape of the kind {kind!r}: expected {", ".join(_KINDS)}; draw it as a polygon '
                        'or with the brush, or delete it.')
    labels = value.get(kind) or value.get('labels') or beside.get(one.get('id'))
    if not isinstance(labels, list) or len(labels) != 1:
        raise UserError(f'{where} has a shape with the labels {labels!r}: expected one class per shape; label it, or '
                        'delete it.')
    if one.get('image_rotation') or value.get('image_rotation'):
        raise UserError(f'{where} was drawn on a rotated view of its photo: rotate the photo file, and draw it again.')
    label, kind = label_of(labels[0], where), _KINDS[kind]
    if kind == 'brush':
        return Region(label, partial(from_brush, value_of(value, 'rle', list, where), where=where))
    return Region(label, partial(_draw, kind, _checked(kind, value, where), where=where))


def _checked(kind: str, value: dict, where: str) -> np.ndarray | list[float]:
    """Return the points of a polygon (N, 2), or the numbers of a box or an ellipse and its rotation, in percent."""
    if kind == 'polygon':
        return points_of(value_of(value, 'points', list, where), where)
    keys = ('x', 'y', 'width', 'height') if kind == 'box' else ('x', 'y', 'radiusX', 'radiusY')
    numbers = [value_of(value, key, _NUMBER, where) for key in keys]
    return points_of([numbers[:2], numbers[2:], [value_of(value, 'rotation', _NUMBER, where, 0), 0]], where).ravel()


def _draw(kind: str, numbers: np.ndarray, shape: Shape, where: str) -> np.ndarray:
    scale = np.array(shape[::-1]) / 100
    if kind == 'polygon':
        return draw_outlines([numbers * scale], shape, where)
    (x, y), (width, height), rotation = numbers[:2] * scale, numbers[2:4] * scale, numbers[4]
    outline = (turned_box(x, y, width, height, rotation, (x, y)) if kind == 'box'
               else ellipse(x, y, width, height, rotation))
    return draw_outlines([outline], shape, where)

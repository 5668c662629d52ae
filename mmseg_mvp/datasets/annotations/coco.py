"""Reading of COCO's JSON files: outlines, run lengths and compressed masks."""
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmseg_mvp.errors import UserError

from .records import Annotation, Region, Shape, Source, label_of, points_of, size_of, value_of
from .runs import by_columns, counts_of
from .shapes import draw_outlines

KIND = 'COCO'
_ID = (int, str)


def is_coco(content: object) -> bool:
    return isinstance(content, dict) and 'images' in content and 'annotations' in content


def read_coco(content: dict, file: Path) -> Source:
    """Read the content of a COCO file. Classes keep the order of the category ids.

    Raises:
        UserError: If an entry has a wrong type, an id is missing or stands twice, or an annotation has no mask.
    """
    where = f'COCO file {str(file)!r}'
    names = _names(value_of(content, 'categories', list, where, []), where)
    images = {}
    for image in value_of(content, 'images', list, where):
        size = size_of(image.get('height') if isinstance(image, dict) else None, image.get('width') if isinstance(
            image, dict) else None, where)
        name = value_of(image, 'file_name', str, where)
        _put(images, value_of(image, 'id', _ID, where), Annotation(f'{where}, image {name!r}', (name, ), size), where)
    for one in value_of(content, 'annotations', list, where):
        category, image = value_of(one, 'category_id', _ID, where), value_of(one, 'image_id', _ID, where)
        if category not in names or image not in images:
            raise UserError(f'{where} has an annotation of category {category!r} in image {image!r}, which it does '
                            'not list: export the file again.')
        images[image].regions.append(_region(one, names[category], images[image].where))
    return Source(KIND, list(images.values()), list(dict.fromkeys(names.values())))


def _names(categories: list, where: str) -> dict[Any, str]:
    """Return the names by id, in the order of the ids."""
    names = {}
    for one in categories:
        _put(names, value_of(one, 'id', _ID, where), label_of(value_of(one, 'name', object, where), where), where)
    return dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _put(table: dict, key: Any, value: Any, where: str) -> None:
    if key in table:
        raise UserError(f'{where} has the id {key!r} twice: export the file again.')
    table[key] = value


def _region(one: dict, label: str, where: str) -> Region:
    mask = value_of(one, 'segmentation', (list, dict), where, [])
    if not mask:
        raise UserError(f'{where} has an annotation of class {label!r} without "segmentation": boxes do not label '
                        'pixels; draw outlines or masks, or delete the annotation.')
    if isinstance(mask, list):
        outlines = [_outline(flat, where) for flat in mask]
        return Region(label, partial(draw_outlines, outlines, where=where))
    counts = value_of(mask, 'counts', (list, str), where)
    return Region(label, partial(_draw_runs, counts, value_of(mask, 'size', list, where), where=where))


def _outline(flat: object, where: str) -> np.ndarray:
    """Return the points (N, 2) of ``[x, y, x, y, ...]``."""
    if not isinstance(flat, list) or len(flat) % 2 or len(flat) < 6:
        raise UserError(f'{where} has the outline {str(flat)[:60]}: expected at least 3 points, [x, y, x, y, ...]; '
                        'draw it again, or delete it.')
    return points_of([flat[i:i + 2] for i in range(0, len(flat), 2)], where)


def _draw_runs(counts: list | str, size: list, shape: Shape, where: str) -> np.ndarray:
    if size != list(shape):
        raise UserError(f'{where} has a mask of the size {str(size)[:40]}, and its photo has {list(shape)}: export the '
                        'file again.')
    counts = counts_of(counts, where) if isinstance(counts, str) else counts
    return by_columns(counts, shape, where)

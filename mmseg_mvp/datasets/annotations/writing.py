"""Label maps as annotations that annotation tools open."""
import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

from .contours import Component, components, corner_outline, outline
from .shapes import draw_by_pillow, extra

LABELME_VERSION = '5.5.0'  # of the format, which has mask shapes and descriptions
Record = dict[str, Any]


class Part(NamedTuple):
    """Connected pixels of one class, in the box that they fill.

    Attributes:
        label (int): Class.
        mask (np.ndarray): Pixels, (h, w) bool.
        left (int): Column of the box in the label map.
        top (int): Row of the box.
        area (int): Number of pixels.
    """
    label: int
    mask: np.ndarray
    left: int
    top: int
    area: int


def labelme_record(label_map: np.ndarray, classes: Sequence[str], image_path: str, tolerance: float = 0) -> Record:
    """Return the content of a labelme file: one polygon per connected region, small ones last and so on top.

    A hole is joined to the outer border by a cut, so that each polygon alone has exactly the pixels of its region at a
    tolerance of 0. Pillow below 11.3, with which labelme draws, fills some polygons wrongly; such a region becomes a
    mask shape at a tolerance of 0.

    Args:
        label_map (np.ndarray): Index into ``classes`` at each pixel, (H, W) integers; other values are left out.
        classes (Sequence[str]): Names.
        image_path (str): Path of the photo from the folder of the file.
        tolerance (float): Largest distance of a border pixel from the polygon, in pixels.
    """
    shapes = [dict(label=classes[part.label], group_id=None, description='', flags={}, **_labelme_shape(part, tolerance)
                   ) for part in parts(label_map, len(classes))]
    height, width = label_map.shape
    return dict(version=LABELME_VERSION, flags={}, shapes=shapes, imagePath=image_path, imageData=None,
                imageHeight=height, imageWidth=width)


def coco_categories(classes: Sequence[str]) -> list[Record]:
    """Return the categories of a COCO file; ids begin at 1."""
    return [dict(id=number, name=name, supercategory='') for number, name in enumerate(classes, 1)]


def coco_annotations(label_map: np.ndarray, num_classes: int, tolerance: float = 0) -> list[Record]:
    """Return the annotations of a COCO file for one photo, without ``id`` and ``image_id``.

    A region without holes is a polygon; a region with holes is a compressed mask, which keeps all its pixels.

    Args:
        label_map (np.ndarray): Label of each pixel, (H, W) integers; values from ``num_classes`` on are left out.
        num_classes (int): Number of classes. The category of label c is c + 1.
        tolerance (float): Largest distance of a corner of the region from its polygon, in pixels.

    Raises:
        UserError: If a region has holes and pycocotools is not installed.
    """
    return [dict(category_id=part.label + 1, segmentation=_coco_mask(part, label_map.shape, tolerance), iscrowd=0,
                 area=part.area, bbox=[part.left, part.top, part.mask.shape[1], part.mask.shape[0]])
            for part in parts(label_map, num_classes)]


def parts(label_map: np.ndarray, num_classes: int) -> list[Part]:
    """Return the connected regions of a label map (H, W), the largest first. Pixels that share a corner are joined."""
    found = [part for label in np.unique(label_map).tolist() if 0 <= label < num_classes
             for part in _parts_of(label, label_map == label)]
    return sorted(found, key=lambda part: -part.area)


def _parts_of(label: int, mask: np.ndarray) -> Iterator[Part]:
    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        left, top, width, height, area = boxes[number].tolist()
        yield Part(label, numbers[top:top + height, left:left + width] == number, left, top, area)


def _labelme_shape(part: Part, tolerance: float) -> Record:
    height, width = part.mask.shape
    points = outline(_component(part.mask), tolerance)
    if tolerance or (draw_by_pillow('polygon', points, (height, width)) == part.mask).all():
        return dict(shape_type='polygon', points=(points + [part.left, part.top]).astype(float).tolist(), mask=None)
    corners = np.array([[0, 0], [width - 1, height - 1]]) + [part.left, part.top]
    file = BytesIO()
    Image.fromarray(part.mask.astype(np.uint8) * 255).save(file, 'PNG')
    content = base64.b64encode(file.getvalue()).decode('ascii')
    return dict(shape_type='mask', points=corners.astype(float).tolist(), mask=content)


def _coco_mask(part: Part, shape: tuple[int, int], tolerance: float) -> list[list[float]] | Record:
    component = _component(np.kron(part.mask, np.ones((2, 2), np.uint8)))
    if not component.holes:
        return [(corner_outline(component, tolerance) + [part.left, part.top]).astype(float).ravel().tolist()]
    whole = np.zeros(shape, np.uint8, order='F')
    whole[part.top:part.top + part.mask.shape[0], part.left:part.left + part.mask.shape[1]] = part.mask
    encoded = extra('pycocotools.mask', 'A COCO file of regions with holes').encode(whole)
    return dict(size=list(shape), counts=encoded['counts'].decode('ascii'))


def _component(mask: np.ndarray) -> Component:
    """Return the only component of a mask."""
    component, = components(mask)
    return component

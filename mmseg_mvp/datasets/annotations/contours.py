"""Outlines of the regions of a label map, exact before they are simplified."""
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np


class Component(NamedTuple):
    """Connected pixels of one class; neighbours over corners are connected.

    Attributes:
        outer (np.ndarray): Pixels of the border in order, x and y, (N, 2) int64.
        holes (list[np.ndarray]): Pixels of the component around each hole, (N, 2) int64.
    """
    outer: np.ndarray
    holes: list[np.ndarray]


def components(mask: np.ndarray) -> Iterator[Component]:
    """Generate the connected components of a mask, (H, W) bool."""
    rings, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [ring[:, 0].astype(np.int64) for ring in rings]
    for ring, (_, _, hole, parent) in zip(rings, tree[0] if rings else ()):
        if parent < 0:
            holes = []
            while hole >= 0:
                holes.append(rings[hole])
                hole = tree[0][hole][0]
            yield Component(ring, holes)


def outline(component: Component, tolerance: float = 0) -> np.ndarray:
    """Return one closed outline through the centres of the border pixels, as labelme fills it.

    A cut leads from the outer border to each hole, along a row of pixels of the component: the outline passes it twice.

    Args:
        component (Component): Component of a mask.
        tolerance (float): Largest distance of a border pixel from the simplified outline, in pixels. The ends of the
            cuts stay.

    Returns:
        np.ndarray: Points, (N, 2) int64, at least 3. The last point is joined to the first.
    """
    ring, anchors = _cut_open(component)
    parts = [_simplified(ring[start:end + 1], tolerance)[:-1] for start, end in zip(anchors, anchors[1:])]
    points = np.concatenate(parts)
    return np.concatenate([points, np.repeat(points[-1:], max(3 - len(points), 0), axis=0)])


def _cut_open(component: Component) -> tuple[np.ndarray, list[int]]:
    """Join the rings of a component to one closed ring, and return it with the positions that must stay."""
    ring = [(*point, False) for point in component.outer.tolist()]
    ring[0] = (*ring[0][:2], True)
    for hole in sorted(component.holes, key=lambda hole: hole[:, 0].min()):
        first = int(np.lexsort((hole[:, 1], hole[:, 0]))[0])  # the leftmost point: holes further left are joined
        x, y = hole[first].tolist()
        # Left of a border pixel of a hole, the next border pixel in the row is where the component ends.
        start = max((point[0], -at) for at, point in enumerate(ring) if point[1] == y and point[0] <= x)
        at = -start[1]
        inner = [(*point, False) for point in np.roll(hole, -first, axis=0)[1:].tolist()]
        ring[at:at + 1] = [(*ring[at][:2], True), (x, y, True), *inner, (x, y, True), (*ring[at][:2], True)]
    ring.append(ring[0])
    return np.array([point[:2] for point in ring]), [at for at, point in enumerate(ring) if point[2]]


def corner_outline(component: Component, tolerance: float = 0) -> np.ndarray:
    """Return the outline of a component without holes through the corners of its pixels, as COCO fills it: (N, 2).

    Args:
        component (Component): Component of a mask of twice the size: the pixel x covers 2x and 2x + 1 there, and its
            corners are at x and x + 1.
        tolerance (float): Largest distance of a corner from the simplified outline, in pixels. An outline that would
            change its area by more than half, such as that of a thin line, stays exact.
    """
    corners = (component.outer + 1) // 2
    ring = np.concatenate([corners, corners[:1]])
    exact, rough = (_simplified(ring, size)[:-1] for size in (0, tolerance))
    areas = [cv2.contourArea(points.astype(np.float32)) for points in (exact, rough)]
    return rough if abs(areas[1] - areas[0]) <= areas[0] / 2 else exact


def _simplified(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Drop points (N, 2) that are near the line through the others, by Douglas and Peucker (1973).

    The distance is that from a segment. OpenCV's ``approxPolyDP`` takes the distance from an endless line, and so it
    drops lines that are one pixel wide and lead there and back.
    """
    kept, parts = {0, len(points) - 1}, [(0, len(points) - 1)]
    while parts:
        start, end = parts.pop()
        if end - start < 2:
            continue
        distances = _distances(points[start + 1:end], points[start], points[end])
        farthest = int(distances.argmax())
        if distances[farthest] > tolerance + 1e-9:
            middle = start + 1 + farthest
            kept.add(middle)
            parts += [(start, middle), (middle, end)]
    return points[sorted(kept)]


def _distances(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distances of points (N, 2) from a segment, (N, )."""
    along = end - start
    share = np.clip((points - start) @ along / max(along @ along, 1), 0, 1)
    return np.hypot(*(points - start - share[:, None] * along).T)

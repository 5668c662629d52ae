"""Positions for names in the regions of a label map."""
import cv2
import numpy as np

FINEST = 512  # px: the search reduces longer sides to this
ROOM = 0.75  # least share of a box inside its region


def place_boxes(labels: np.ndarray, boxes: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Place one box per label in its largest connected region, inside the map and without overlap.

    Labels are (H, W). Boxes are (height, width) in px; earlier ones have priority. Results are (top, left) in px of
    each box that fits.
    """
    step = -(-max(labels.shape) // FINEST)
    coarse = np.ascontiguousarray(labels[::step, ::step])
    free, places = np.ones(coarse.shape, np.uint8), {}
    for index, (height, width) in boxes.items():
        rows, columns = -(-height // step) | 1, -(-width // step) | 1  # odd, to have a centre
        middle = best_middle(largest_region(coarse == index), free, rows, columns)
        if middle is None:
            continue
        top, left = middle[0] - rows // 2, middle[1] - columns // 2
        free[top:top + rows, left:left + columns] = 0
        places[index] = (min(top * step, len(labels) - height), min(left * step, labels.shape[1] - width))
    return places


def largest_region(mask: np.ndarray) -> np.ndarray:
    """Return the largest 4-connected region of a mask (H, W) as 0 and 1, (H, W) uint8."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = statistics[1:, cv2.CC_STAT_AREA]  # 0 is the background
    return (regions == 1 + areas.argmax()).astype(np.uint8) if len(areas) else np.zeros(mask.shape, np.uint8)


def best_middle(region: np.ndarray, free: np.ndarray, rows: int, columns: int) -> tuple[int, int] | None:
    """Find the centre (row, column) of a box inside a region, deep and near the region's centre, or None.

    ``region`` and ``free`` are 0 and 1, (H, W); the box covers free pixels only. ``rows`` and ``columns`` are odd.
    """
    if rows > len(region) or columns > region.shape[1] or region.sum() < ROOM * rows * columns:
        return None
    kernel = dict(ddepth=cv2.CV_32F, ksize=(columns, rows), normalize=True, borderType=cv2.BORDER_CONSTANT)
    share = cv2.boxFilter(region, **kernel)
    share[cv2.boxFilter(free, **kernel) < 1 - 1e-6] = 0  # it is 0 outside the map
    if share.max() < ROOM:
        return None
    depth = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    depth[share < share.max() - 1e-6] = 0
    middles = np.argwhere(depth >= 0.9 * depth.max())
    row, column = middles[((middles - middles.mean(0))**2).sum(1).argmin()]
    return int(row), int(column)

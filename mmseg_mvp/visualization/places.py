"""Where names fit into the regions of a label map."""
import cv2
import numpy as np

FINEST = 512  # px: longer sides are reduced for the search
ROOM = 0.75  # share of a name's box that its region must fill


def place_boxes(labels: np.ndarray, boxes: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """Place one box a label in its largest connected region, inside the map and clear of the other boxes.

    Args:
        labels: (H, W) integers.
        boxes: (height, width) of each label's box in px; earlier ones choose first.

    Returns:
        (top, left) of the boxes that found room, by label.
    """
    step = -(-max(labels.shape) // FINEST)
    coarse = np.ascontiguousarray(labels[::step, ::step])
    free, places = np.ones(coarse.shape, np.uint8), {}
    for index, (height, width) in boxes.items():
        rows, columns = -(-height // step) | 1, -(-width // step) | 1  # odd, so that a box has a middle
        middle = best_middle(largest_region(coarse == index), free, rows, columns)
        if middle is None:
            continue
        top, left = middle[0] - rows // 2, middle[1] - columns // 2
        free[top:top + rows, left:left + columns] = 0
        places[index] = (min(top * step, len(labels) - height), min(left * step, labels.shape[1] - width))
    return places


def largest_region(mask: np.ndarray) -> np.ndarray:
    """The largest 4-connected region of a mask (H, W), as one of 0 and 1, uint8."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    areas = statistics[1:, cv2.CC_STAT_AREA]  # 0 is what the mask leaves
    return (regions == 1 + areas.argmax()).astype(np.uint8) if len(areas) else np.zeros(mask.shape, np.uint8)


def best_middle(region: np.ndarray, free: np.ndarray, rows: int, columns: int) -> tuple[int, int] | None:
    """Middle of a box of odd size that a region fills best, deep inside and near to its middle; None where none fits.

    Args:
        region: (H, W) of 0 and 1.
        free: (H, W) of 0 and 1; a box must lie on ones.
        rows: Height of the box.
        columns: Width of the box.
    """
    if rows > len(region) or columns > region.shape[1] or region.sum() < ROOM * rows * columns:
        return None
    kernel = dict(ddepth=cv2.CV_32F, ksize=(columns, rows), normalize=True, borderType=cv2.BORDER_CONSTANT)
    share = cv2.boxFilter(region, **kernel)
    share[cv2.boxFilter(free, **kernel) < 1 - 1e-6] = 0  # beyond the border it is 0, too
    if share.max() < ROOM:
        return None
    depth = cv2.distanceTransform(np.pad(region, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    depth[share < share.max() - 1e-6] = 0
    middles = np.argwhere(depth >= 0.9 * depth.max())
    row, column = middles[((middles - middles.mean(0))**2).sum(1).argmin()]
    return int(row), int(column)

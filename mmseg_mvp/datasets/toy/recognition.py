"""Is a picture a drawing of the toy world? Its noise tells."""
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SIDE, MOST = 3, 512  # pixels: side of a window, and of the part of a picture that is looked at
FLAT, NOISY = 12, 5  # largest and least range of values in a window of one colour with the noise of -6 to 6
PURE, ALIKE = 0.5, 0.55  # least share of noisy windows among flat ones, and largest correlation of channels in them


def is_drawing(image: np.ndarray) -> bool:
    """Return True if a picture has the noise of :func:`draw_scene` in its flat areas, and no other.

    The noise is uniform and independent in each channel. In flat areas of photos, channels vary together, or less.
    Of all drawings of 64 pixels and more, all are found; a drawing that was resized or stored as JPEG is not.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
    """
    if min(image.shape[:2]) < SIDE:
        return False
    top, left = (max(0, side - MOST) // 2 for side in image.shape[:2])
    part = image[top:top + MOST, left:left + MOST].astype(np.int16)
    windows = sliding_window_view(part, (SIDE, SIDE), (0, 1))  # (h, w, 3, SIDE, SIDE)
    ranges = windows.max((-1, -2)) - windows.min((-1, -2))  # (h, w, 3)
    flat = (ranges <= FLAT).all(-1)
    noisy = flat & (ranges >= NOISY).all(-1)
    if not noisy.any() or noisy.sum() < PURE * flat.sum():
        return False
    return _correlation(windows[noisy]) <= ALIKE


def _correlation(windows: np.ndarray) -> float:
    """Return the largest correlation of two channels within windows (N, 3, SIDE, SIDE)."""
    values = windows.reshape(len(windows), 3, -1).astype(np.float32)
    values -= values.mean(-1, keepdims=True)
    covariance = (values @ values.transpose(0, 2, 1)).mean(0)  # (3, 3)
    deviation = np.sqrt(np.diag(covariance))
    return float((covariance / np.outer(deviation, deviation))[np.triu_indices(3, 1)].max())

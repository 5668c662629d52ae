"""Colours for label sets without a palette."""
import functools

import cv2
import numpy as np

from mmseg_mvp.utils.checking import check_number

# Okabe & Ito, Color Universal Design (2008), without black, which looks like shadow in an overlay.
OKABE_ITO = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
# Simulation of protanopia, deuteranopia and tritanopia in linear RGB (Machado et al., 2009, severity 1).
CONE_LOSSES = np.array([
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]])
STEPS = 16  # per channel of the colour grid: #000, #001 .. #fff
LIGHTNESS, LEAST_CHROMA = (25, 92), 15  # CIELAB: excludes black, white and grey


def distinct_colours(count: int) -> np.ndarray:
    """Return distinct RGB colours, also for colour-blind people, as a fixed sequence: (count, 3) uint8.

    The first colours are by Okabe and Ito. Each further colour is the grid colour farthest from all previous ones in
    CIELAB. The distance is the smallest over full colour vision, protanopia, deuteranopia and tritanopia. Colours are
    unique up to 3000 and repeat for much larger numbers.

    Raises:
        UserError: If ``count`` is not an integer of at least 0.
    """
    check_number('The count of distinct_colours', count, least=0, whole=True)
    chosen = _farthest_first(min(1 << max(count, 32).bit_length(), STEPS**3))  # few lengths to cache
    return chosen[np.arange(count) % len(chosen)]


@functools.cache
def _farthest_first(count: int) -> np.ndarray:
    axis = np.linspace(0, 255, STEPS).round()
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing='ij'), axis=-1).reshape(-1, 3)
    lab = as_seen(grid)[0]
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    grid = grid[(lab[:, 0] > LIGHTNESS[0]) & (lab[:, 0] < LIGHTNESS[1]) & (chroma > LEAST_CHROMA)]
    candidates = np.concatenate([OKABE_ITO, grid])
    seen = as_seen(candidates)  # (4, N, 3)
    nearest, chosen = np.full(len(candidates), np.inf), []
    for step in range(min(count, len(candidates))):
        chosen.append(step if step < len(OKABE_ITO) else int(nearest.argmax()))
        distance = ((seen - seen[:, chosen[-1:]])**2).sum(-1).min(0)
        np.minimum(nearest, distance, out=nearest)
    return candidates[chosen].astype(np.uint8)


def as_seen(colours: np.ndarray) -> np.ndarray:
    """Convert RGB colours (N, 3), 0 to 255, to CIELAB for full colour vision and three dichromacies: (4, N, 3)."""
    linear = to_linear(colours)
    seen = np.stack([linear, *((linear @ matrix.T).clip(0, 1) for matrix in CONE_LOSSES)])
    return cv2.cvtColor(seen.astype(np.float32), cv2.COLOR_LRGB2LAB)


def to_linear(colours: np.ndarray) -> np.ndarray:
    """Convert sRGB colours (..., 3), 0 to 255, to linear RGB, 0 to 1, (..., 3) (IEC 61966-2-1)."""
    share = np.asarray(colours, np.float64) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055)**2.4)

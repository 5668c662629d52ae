"""Values of a label map that data and models share: classes, ignored pixels, and pixels whose class is hidden.

Transductive training (MaskCLIP+, Zhou et al., ECCV 2022; MVP-SEG+) knows the names of the unseen classes and hides
their masks: such pixels are neither labelled nor ignored. A label map says so by ``HIDDEN + c`` for a pixel whose true
class is c, and by ``HIDDEN + UNKNOWN`` where nobody knows it. All values fit 16 bits, survive padding with 255,
cropping, flipping and nearest resizing, and collide neither with a class nor with 255. The truth travels for monitoring
only: no pseudo label and no loss may read it.
"""
from typing import TypeVar

import numpy as np
from torch import Tensor

IGNORE = 255
HIDDEN = 2**15
UNKNOWN = 2**15 - 2  # beyond every label set; HIDDEN + UNKNOWN is the largest label that is in use

Labels = TypeVar('Labels', np.ndarray, Tensor)


def is_hidden(label: Labels) -> Labels:
    """Where the true class is hidden from training.

    Args:
        label: Label map of any shape and integer type, an array or a tensor.

    Returns:
        Bool map of the same shape and kind.
    """
    return _widened(label) >= HIDDEN


def hidden_truth(label: Labels) -> Labels:
    """What is hidden: for monitoring, never for training.

    Args:
        label: Label map of any shape and integer type, an array or a tensor.

    Returns:
        True class where it is hidden and known, :data:`IGNORE` elsewhere; int64 of the same shape and kind.
    """
    truth = _widened(label) - HIDDEN
    truth[(truth < 0) | (truth == UNKNOWN)] = IGNORE
    return truth


def _widened(label: Labels) -> Labels:
    # torch takes a number to the type of the tensor that it is compared with: for uint8, HIDDEN would be 0.
    return label.long() if isinstance(label, Tensor) else np.asarray(label, np.int64)

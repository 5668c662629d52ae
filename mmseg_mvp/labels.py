"""Reserved label values: ignored pixels and pixels with a hidden class.

In transductive training (MaskCLIP+, Zhou et al., ECCV 2022; MVP-SEG+), the names of unseen classes are known and their
masks are hidden. Hidden pixels are not labelled and not ignored. Their label is ``HIDDEN + c`` for the true class c, or
``HIDDEN + UNKNOWN`` for an unknown class.

All values fit 16 bits and survive padding, cropping, flipping and nearest-neighbour resizing. They differ from all
classes and from the values of ignored pixels: 255, or with more classes a value below ``HIDDEN`` or 65535. The truth is
for monitoring only: pseudo labels and losses must not read it.
"""
from typing import TypeVar

import numpy as np
from torch import Tensor

IGNORE = 255
HIDDEN = 2**15
UNKNOWN = 2**15 - 2  # above all classes; HIDDEN + UNKNOWN is the largest label

# Remedies in messages about labels that are all ignored, or all of one class.
CHECK_LABELS = 'check reduce_zero_label, the classes in metainfo and the values in the masks'
STORE_AS_1 = ('store the foreground as 1 if it is 255 in the masks (values 0 and 255), because 255 marks ignored '
              f'pixels; else {CHECK_LABELS}')

Labels = TypeVar('Labels', np.ndarray, Tensor)


def is_hidden(label: Labels) -> Labels:
    """Find pixels with a hidden class: bool map for a label map of any shape and integer type."""
    wide = _widened(label)
    return (wide >= HIDDEN) & (wide <= HIDDEN + UNKNOWN)


def hidden_truth(label: Labels) -> Labels:
    """Return the known true classes of hidden pixels, -1 elsewhere, for monitoring only.

    The label map has any shape and integer type; the result is int64 of the same shape.
    """
    truth = _widened(label) - HIDDEN
    truth[(truth < 0) | (truth >= UNKNOWN)] = -1
    return truth


def _widened(label: Labels) -> Labels:
    # In comparisons, torch casts numbers to the dtype of the tensor; HIDDEN in uint8 would be 0.
    return label.long() if isinstance(label, Tensor) else np.asarray(label, np.int64)

"""Sliding windows whose maps are enlarged to pixels before they are averaged, as one separable linear operation.

mmseg and published code enlarge the map of each window to its pixels, add them up and divide by the number of windows
at each pixel. Windows form a grid, so this is ``R S K^T`` with the maps of all windows side by side in S, and no map of
the image's size is stored.
"""
import torch
from torch import Tensor

from .tiled_resize import resize_matrix


def window_starts(length: int, crop: int, step: int) -> list[int]:
    """Return where windows of ``crop`` pixels start on a side of ``length`` pixels, as in mmseg's ``slide_inference``.

    The last window ends at the border. A side that is shorter than a window has one window.
    """
    count = max(length - crop + step - 1, 0) // step + 1
    return [min(index * step, max(length - crop, 0)) for index in range(count)]


def window_matrix(length: int, crop: int, step: int, stride: int, align_corners: bool, like: Tensor) -> Tensor:
    """Return the matrix (L, n * c) from the cells of n windows, c each, to the L = ``length`` pixels of a side.

    Args:
        length (int): Pixels of the side.
        crop (int): Pixels of a window.
        step (int): Pixels between windows.
        stride (int): Pixels of a cell; the last cell of a window may exceed it.
        align_corners (bool): As in ``torch.nn.functional.interpolate``.
        like (Tensor): Maps, whose device and precision (at least float32) the matrix has.
    """
    starts, crop = window_starts(length, crop, step), min(crop, length)
    cells = -(-crop // stride)
    dtype = torch.promote_types(like.dtype, torch.float32)
    enlarged = resize_matrix(cells, cells * stride, align_corners, dtype, like.device)[:crop]  # (crop, c)
    matrix, count = enlarged.new_zeros(length, len(starts), cells), enlarged.new_zeros(length, 1)
    for index, start in enumerate(starts):
        matrix[start:start + crop, index] = enlarged
        count[start:start + crop] += 1
    return matrix.flatten(1) / count

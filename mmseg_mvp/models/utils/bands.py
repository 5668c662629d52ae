"""Bilinear resizing as two small matrix products, tile by tile.

A bilinear resize is linear and separable: ``resize(S) = R S K^T`` for each class map S (h, w), with a row matrix R
(H, h) and a column matrix K (W, w). A chain of resizes, crops and flips is again one such pair. A tile of the output
needs few rows and columns of S, so the C x H x W map never has to exist. The transposed matrices give the gradient.

Class maps are (C, h, w) throughout. In memory the classes come first or last (``torch.channels_last``): sums over a few
classes are faster when they come first, products and maxima over many when they come last.
"""
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Values of a tile: on a CPU what its caches hold (measured), on a GPU enough to keep it busy (not measured).
TILE_VALUES = dict(cpu=2**19, cuda=2**24)


class Tile(NamedTuple):
    """A rectangle of a resized map.

    Attributes:
        target (tuple[slice, slice]): Its rows and columns.
        source (tuple[slice, slice]): Rows and columns of the map that it depends on.
        rows (Tensor): Row matrix between the two, (r, h').
        columns (Tensor): Column matrix between the two, (c, w').
    """
    target: tuple[slice, slice]
    source: tuple[slice, slice]
    rows: Tensor
    columns: Tensor


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what one mode caches, the other may use
def resize_matrix(source: int, target: int, align_corners: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix of a linear resize along one side; not to be written to, as it is cached.

    Args:
        source (int): Length n before.
        target (int): Length N after.
        align_corners (bool): As in ``torch.nn.functional.interpolate``.
        dtype (torch.dtype): Of the matrix.
        device (torch.device): Of the matrix.

    Returns:
        Tensor: (N, n), rows sum to 1.
    """
    unit = torch.eye(source, dtype=dtype, device=device)
    return F.interpolate(unit[None], size=target, mode='linear', align_corners=align_corners)[0].T.contiguous()


def resize_matrices(maps: Tensor, size: tuple[int, int], align_corners: bool) -> tuple[Tensor, Tensor]:
    """Row and column matrix of a bilinear resize, in float32 or the maps' higher precision.

    Args:
        maps (Tensor): What is to be resized, (..., h, w).
        size (tuple[int, int]): Height H and width W after.
        align_corners (bool): As in ``torch.nn.functional.interpolate``.

    Returns:
        tuple[Tensor, Tensor]: (H, h) and (W, w).
    """
    dtype = torch.promote_types(maps.dtype, torch.float32)
    rows, columns = (resize_matrix(source, target, align_corners, dtype, maps.device)
                     for source, target in zip(maps.shape[-2:], size))
    return rows, columns


def resize_maps(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resize class maps by two matrix products; with transposed matrices, the adjoint of a resize.

    Args:
        maps (Tensor): (C, h, w), contiguous or with the classes last in memory.
        rows (Tensor): Row matrix, (H, h).
        columns (Tensor): Column matrix, (W, w).

    Returns:
        Tensor: (C, H, W), in the same memory order.
    """
    if maps.stride(0) == 1:
        return (columns @ torch.tensordot(rows, maps.permute(1, 2, 0), 1)).permute(2, 0, 1)
    if len(rows) < rows.shape[1]:  # rows first where they get fewer, last where they get more: the cheaper order
        return (rows @ maps) @ columns.T
    return rows @ (maps @ columns.T)


def tiles(rows: Tensor, columns: Tensor, num_classes: int) -> Iterator[Tile]:
    """Cut a resized map into tiles of at most ``TILE_VALUES`` values, as square as that allows.

    Args:
        rows (Tensor): Row matrix, (H, h).
        columns (Tensor): Column matrix, (W, w).
        num_classes (int): Number of classes C.

    Yields:
        Tile: Row by row; where they lie depends on C, H and W alone.
    """
    pixels = max(TILE_VALUES.get(rows.device.type, TILE_VALUES['cuda']) // num_classes, 1)
    width = min(math.isqrt(pixels), len(columns))
    strips = list(_strips(columns, width))
    for row_target, row_source, row_matrix in _strips(rows, pixels // width):
        for target, source, matrix in strips:
            yield Tile((row_target, target), (row_source, source), row_matrix, matrix)


def _strips(matrix: Tensor, length: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Cut a matrix (N, n) into blocks of ``length`` rows and the columns they use: where they lie, and the block."""
    for start in range(0, len(matrix), length):
        block = matrix[start:start + length]
        used = block.any(dim=0).nonzero()
        source = slice(int(used[0]), int(used[-1]) + 1)
        yield slice(start, start + len(block)), source, block[:, source]

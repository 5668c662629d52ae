"""Bilinear resizing in tiles by two small matrix products.

Bilinear resizing is linear and separable: ``resize(S) = R S K^T`` for a class map S, (h, w), a row matrix R, (H, h),
and a column matrix K, (W, w). A chain of resizes, crops and flips is also one such pair. A tile of the output depends
on few rows and columns of S, so the (C, H, W) map is never stored. Transposed matrices give the gradient.

Class maps are (C, h, w). In memory, classes are the first or last dimension (``torch.channels_last``): sums over few
classes are faster with classes first, products and maxima over many classes are faster with classes last.
"""
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Values per tile: fits the caches of a CPU (measured) and occupies a GPU (not measured).
TILE_VALUES = dict(cpu=2**19, cuda=2**24)


class Tile(NamedTuple):
    """Rectangle of a resized map.

    Attributes:
        target (tuple[slice, slice]): Rows and columns in the resized map.
        source (tuple[slice, slice]): Rows and columns of the input map that the tile depends on.
        rows (Tensor): Row matrix of the tile, (r, h').
        columns (Tensor): Column matrix of the tile, (c, w').
    """
    target: tuple[slice, slice]
    source: tuple[slice, slice]
    rows: Tensor
    columns: Tensor


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # training and inference share the cache
def resize_matrix(source: int, target: int, align_corners: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix (N, n) of a linear resize from length n to N. It is cached: do not modify it."""
    unit = torch.eye(source, dtype=dtype, device=device)  # (n, n)
    return F.interpolate(unit[None], size=target, mode='linear', align_corners=align_corners)[0].T.contiguous()


def resize_matrices(maps: Tensor, size: tuple[int, int], align_corners: bool) -> tuple[Tensor, Tensor]:
    """Return row matrix (H, h) and column matrix (W, w) of a bilinear resize of maps (..., h, w) to ``size``.

    The dtype is float32, or a higher precision of the maps.
    """
    dtype = torch.promote_types(maps.dtype, torch.float32)
    rows, columns = (resize_matrix(source, target, align_corners, dtype, maps.device)
                     for source, target in zip(maps.shape[-2:], size))
    return rows, columns


def resize_maps(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resize class maps (C, h, w) by a row matrix (H, h) and a column matrix (W, w): (C, H, W).

    The memory order stays. Transposed matrices give the adjoint of the resize.
    """
    if maps.stride(0) == 1:
        return (columns @ torch.tensordot(rows, maps.permute(1, 2, 0), 1)).permute(2, 0, 1)  # (H, W, C) -> (C, H, W)
    if len(rows) < rows.shape[1]:  # the cheaper order of the two products
        return (rows @ maps) @ columns.T
    return rows @ (maps @ columns.T)


def tiles(rows: Tensor, columns: Tensor, num_classes: int) -> Iterator[Tile]:
    """Split a map resized by matrices (H, h) and (W, w) into tiles of at most ``TILE_VALUES`` values.

    Tiles are as square as possible and come in row-major order. Their positions depend only on C, H, W and the device
    type.
    """
    pixels = max(TILE_VALUES.get(rows.device.type, TILE_VALUES['cuda']) // num_classes, 1)
    width = min(math.isqrt(pixels), len(columns))
    strips = list(_strips(columns, width))
    for row_target, row_source, row_matrix in _strips(rows, pixels // width):
        for target, source, matrix in strips:
            yield Tile((row_target, target), (row_source, source), row_matrix, matrix)


def resized_tiles(maps: Tensor, rows: Tensor, columns: Tensor) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Resize class maps (C, h, w) by matrices (H, h) and (W, w), tile by tile.

    Yields:
        tuple[tuple[slice, slice], Tensor]: Rows and columns of a tile in the resized map, and its values (C, r, c).
    """
    for tile in tiles(rows, columns, len(maps)):
        yield tile.target, resize_maps(maps[(slice(None), *tile.source)], tile.rows, tile.columns)


def _strips(matrix: Tensor, length: int) -> Iterator[tuple[slice, slice, Tensor]]:
    """Split a matrix (N, n) into blocks of ``length`` rows: their rows, used columns, and values (r, n')."""
    for start in range(0, len(matrix), length):
        block = matrix[start:start + length]
        used = block.any(dim=0).nonzero()
        source = slice(int(used[0]), int(used[-1]) + 1)
        yield slice(start, start + len(block)), source, block[:, source]

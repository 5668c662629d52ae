"""Run lengths of COCO, CVAT and Label Studio, checked against the size of the photo before a pixel is made."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmseg_mvp.errors import UserError

from .records import Shape

_DAMAGED = 'the file is damaged or of another photo; export it again.'


def from_counts(counts: Any, shape: Shape, where: str) -> np.ndarray:
    """Decode alternating run lengths, zeros first: (H * W, ) bool in the order of the format.

    Raises:
        UserError: If they are not whole numbers whose sum is the number of pixels.
    """
    try:
        runs = np.asarray(counts, np.int64)
        fits = runs.ndim == 1 and runs.min(initial=0) >= 0 and sum(runs.tolist()) == shape[0] * shape[1]
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise UserError(f'{where} has run lengths that do not fill {shape[1]} x {shape[0]} pixels: {_DAMAGED}')
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)


def by_columns(counts: Any, shape: Shape, where: str) -> np.ndarray:
    """Decode run lengths that go down the columns, as those of COCO: (H, W) bool.

    Raises:
        UserError: As in :func:`from_counts`.
    """
    columns = from_counts(counts, shape, where).reshape(shape[::-1])  # (W, H)
    used = np.flatnonzero(columns.any(axis=1))
    mask = np.zeros(shape, bool)
    if len(used):  # turning the used columns alone is several times as fast
        part = slice(used[0], used[-1] + 1)
        mask[:, part] = columns[part].T
    return mask


def counts_of(text: str, where: str) -> list[int]:
    """Return the run lengths of COCO's compressed string (LEB128 of 5 bits, differences from the third on).

    Raises:
        UserError: If the string has another letter, or ends within a number.
    """
    counts, value, bits = [], 0, 0
    for letter in text.encode('utf-8'):
        digit = letter - 48
        if not 0 <= digit < 64 or bits > 60:
            raise UserError(f'{where} has a compressed mask with the byte {letter}: {_DAMAGED}')
        value |= (digit & 31) << bits
        bits += 5
        if not digit & 32:
            value -= (digit & 16) and 1 << bits
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, bits = 0, 0
    if bits:
        raise UserError(f'{where} has a compressed mask that ends within a number: {_DAMAGED}')
    return counts


def from_brush(content: Sequence[int], shape: Shape, where: str) -> np.ndarray:
    """Decode a mask of Label Studio's brush: pixels that are not transparent, (H, W) bool.

    The bits are those of thi.ng/rle-pack: the number of words (32 bits), their size (5), four sizes of lengths (4
    each), then runs of one word or of several. Words are the channels of RGBA.

    Raises:
        UserError: If the bits are damaged, or do not hold four bytes per pixel.
    """
    try:
        bits = np.unpackbits(np.array(content, np.uint8))
    except (TypeError, ValueError, OverflowError):
        bits = np.empty(0, np.uint8)
    count, position = _number(bits, 0, 32), 53
    if len(bits) < position or count != 4 * shape[0] * shape[1] or _number(bits, 32, 5) != 7:
        raise UserError(f'{where} has a brush mask that does not hold {shape[1]} x {shape[0]} pixels: {_DAMAGED}')
    sizes = [_number(bits, 37 + 4 * i, 4) + 1 for i in range(4)]
    words, done = np.zeros(count, np.uint8), 0
    while done < count:
        length_at = position + 3
        size = sizes[_number(bits, position + 1, 2)]
        length = _number(bits, length_at, size) + 1
        start = length_at + size
        repeated = position < len(bits) and bits[position]
        position = start + 8 * (1 if repeated else length)
        if position > len(bits) or done + length > count:
            raise UserError(f'{where} has a brush mask that ends too early or too late: {_DAMAGED}')
        words[done:done + length] = np.packbits(bits[start:position])
        done += length
    return words.reshape(*shape, 4)[..., 3] > 0


def _number(bits: np.ndarray, start: int, size: int) -> int:
    """Return the number of some bits, the highest first."""
    return int(''.join(map(str, bits[start:start + size].tolist())) or '0', 2)

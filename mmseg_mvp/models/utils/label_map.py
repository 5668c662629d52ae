"""Label maps and probabilities from logits at feature resolution, without the (C, H, W) map."""
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .tiled_resize import resize_matrices, resized_tiles

View = tuple[Tensor, Tensor, Tensor]
# Fewest classes for argmax by numpy, which is slower for few classes.
NUMPY_CLASSES = 100


def image_matrices(logits: Tensor, padded: Sequence[int], size: Sequence[int], meta: dict,
                   align_corners: bool) -> tuple[Tensor, Tensor]:
    """Compute the matrices that resize logits to the original image in one step.

    They replace the chain of ``EncoderDecoder.predict``: resize to the padded input, cut the backbone's padding, cut
    the data preprocessor's padding, undo the flip, resize to the original size.

    Args:
        logits (Tensor): Logits of an image, (C, h, w).
        padded (Sequence[int]): Height and width in pixels of the logits, with the backbone's padding.
        size (Sequence[int]): Height and width of the network's input.
        meta (dict): ``img_padding_size`` or ``padding_size``, ``flip``, ``flip_direction`` and ``ori_shape``, as in
            mmseg. An empty dict gives the size of the network's input.
        align_corners (bool): As in ``torch.nn.functional.interpolate``.

    Returns:
        tuple[Tensor, Tensor]: Row matrix (H, h) and column matrix (W, w).
    """
    return to_original(*resize_matrices(logits, padded, align_corners), size, meta, align_corners)


def to_original(rows: Tensor, columns: Tensor, size: Sequence[int], meta: dict,
                align_corners: bool) -> tuple[Tensor, Tensor]:
    """Continue a resize to the network's input, by matrices (>= H', h) and (>= W', w), to the original image.

    ``size`` is (H', W'); the other arguments and the result are those of :func:`image_matrices`.
    """
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    direction = meta.get('flip_direction') if meta.get('flip') else None
    rows, columns = rows[top:size[0] - bottom], columns[left:size[1] - right]
    rows = rows.flip(0) if direction in ('vertical', 'diagonal') else rows
    columns = columns.flip(0) if direction in ('horizontal', 'diagonal') else columns
    inner = rows.new_empty(len(rows), len(columns))
    last_rows, last_columns = resize_matrices(inner, meta.get('ori_shape', inner.shape)[:2], align_corners)
    with torch.autocast(rows.device.type, enabled=False):
        return last_rows @ rows, last_columns @ columns


def label_map(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute the argmax (H, W), int64, of logits (C, h, w) resized by matrices (H, h) and (W, w), tile by tile.

    Ties can differ from ``torch.argmax``.
    """
    return _label_map([(logits, rows, columns)], lambda scores: scores)


def mean_label_map(views: Sequence[View]) -> Tensor:
    """Compute the class with the highest mean probability over views, tile by tile: (H, W), int64.

    A view has logits (C, h_i, w_i), a row matrix (H, h_i) and a column matrix (W, w_i).
    """
    return _label_map(views, lambda scores: scores.softmax(dim=0))


def probability_map(logits: Tensor, rows: Tensor, columns: Tensor, index: int | None = None) -> Tensor:
    """Compute the softmax probability (H, W) of class ``index`` at each pixel, tile by tile.

    Logits (C, h, w) are resized by matrices (H, h) and (W, w), which give the dtype. Without ``index``, the result is
    the highest probability at each pixel.
    """
    maps, probability = classes_last(logits, rows), rows.new_empty(len(rows), len(columns))
    with torch.autocast(rows.device.type, enabled=False):
        for target, scores in resized_tiles(maps, rows, columns):  # (C, r, c)
            wanted = scores.amax(dim=0) if index is None else scores[index]
            probability[target] = (wanted - scores.logsumexp(dim=0)).exp()
    return probability


def classes_last(logits: Tensor, rows: Tensor) -> Tensor:
    """Convert logits (C, h, w) to classes-last memory, since operations over a strided axis are slow."""
    return logits.to(rows).permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _label_map(views: Sequence[View], score: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the argmax (H, W) over the sum of scores of all views."""
    _, rows, columns = views[0]
    labels = torch.empty(len(rows), len(columns), dtype=torch.int64, device=rows.device)
    with torch.autocast(rows.device.type, enabled=False):
        for parts in zip(*(resized_tiles(classes_last(logits, rows), rows, columns)
                           for logits, rows, columns in views)):
            target, _ = parts[0]  # equal for all views
            labels[target] = _argmax(sum(score(scores) for _, scores in parts))  # (C, r, c) -> (r, c)
    return labels


def _argmax(scores: Tensor) -> Tensor:
    """Return the argmax (r, c) over classes of scores (C, r, c) with classes last in memory.

    On a CPU with many classes, numpy is 3 to 5 times faster than torch (measured at 150 and 847 classes).
    """
    if scores.device.type != 'cpu' or len(scores) < NUMPY_CLASSES:
        return scores.argmax(dim=0)
    return torch.from_numpy(scores.permute(1, 2, 0).numpy().argmax(axis=2))

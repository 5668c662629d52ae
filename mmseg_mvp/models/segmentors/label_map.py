"""From logits at feature resolution to label maps, without the C x H x W map between."""
from collections.abc import Callable, Sequence

import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from mmseg_mvp.errors import UserError

from ..utils.bands import resize_maps, resize_matrices, tiles

View = tuple[Tensor, Tensor, Tensor]
# From this many classes on, numpy finds the highest sooner.
NUMPY_CLASSES = 100


class LowResLogits(BaseDataElement):
    """Logits of an image at feature resolution, with the matrices of their resize to the original image.

    Attributes:
        logits (Tensor): (C, h, w).
        rows (Tensor): Row matrix, (H, h); see :mod:`mmseg_mvp.models.utils.bands`.
        columns (Tensor): Column matrix, (W, w).
    """

    def view(self) -> View:
        """Logits, row matrix and column matrix."""
        return self.logits, self.rows, self.columns

    def resize(self) -> Tensor:
        """Logits in the size of the original image.

        Returns:
            Tensor: (C, H, W).
        """
        with torch.autocast(self.rows.device.type, enabled=False):
            return resize_maps(self.logits.to(self.rows), self.rows, self.columns)


class LogitsNotKept(PixelData):
    """Stands for the ``seg_logits`` that were not made, and says how to have them."""

    @property
    def data(self) -> Tensor:
        """Not there.

        Raises:
            UserError: Always.
        """
        raise UserError('The sample holds no full-size seg_logits, as they need C x H x W values: set '
                        'model.test_cfg.keep_logits=True, call low_res_logits.resize() on the sample, or for test time '
                        'augmentation set tta_model=dict(type=\'LowResSegTTAModel\').')


def image_matrices(logits: Tensor, padded: Sequence[int], size: Sequence[int], meta: dict,
                   align_corners: bool) -> tuple[Tensor, Tensor]:
    """Matrices that take logits to the original image, the chain of ``EncoderDecoder.predict`` in one step.

    The chain: resize to the padded input, cut the backbone's padding, cut the data preprocessor's padding, undo the
    flip, resize to the original size.

    Args:
        logits (Tensor): Logits of an image, (C, h, w).
        padded (Sequence[int]): Height and width that h and w stand for, with the backbone's padding.
        size (Sequence[int]): Height and width of the network's input.
        meta (dict): ``img_padding_size`` or ``padding_size``, ``flip``, ``flip_direction`` and ``ori_shape`` as in
            mmseg; empty for the network's input itself.
        align_corners (bool): As in ``torch.nn.functional.interpolate``.

    Returns:
        tuple[Tensor, Tensor]: Row matrix (H, h) and column matrix (W, w).
    """
    left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
    direction = meta.get('flip_direction') if meta.get('flip') else None
    rows, columns = resize_matrices(logits, padded, align_corners)
    rows, columns = rows[top:size[0] - bottom], columns[left:size[1] - right]
    rows = rows.flip(0) if direction in ('vertical', 'diagonal') else rows
    columns = columns.flip(0) if direction in ('horizontal', 'diagonal') else columns
    inner = rows.new_empty(len(rows), len(columns))
    last_rows, last_columns = resize_matrices(inner, meta.get('ori_shape', inner.shape)[:2], align_corners)
    with torch.autocast(rows.device.type, enabled=False):
        return last_rows @ rows, last_columns @ columns


def label_map(logits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Class of the highest resized logit at each pixel, tile by tile.

    Args:
        logits (Tensor): Logits of an image, (C, h, w).
        rows (Tensor): Row matrix, (H, h).
        columns (Tensor): Column matrix, (W, w).

    Returns:
        Tensor: (H, W), int64; the argmax of the resized logits, but for ties.
    """
    return _label_map([(logits, rows, columns)], lambda scores: scores)


def mean_label_map(views: Sequence[View]) -> Tensor:
    """Class of the highest mean probability over views of an image, tile by tile.

    Args:
        views (Sequence[tuple]): Logits (C, h_i, w_i), row matrix (H, h_i) and column matrix (W, w_i) of each view.

    Returns:
        Tensor: (H, W), int64.
    """
    return _label_map(views, lambda scores: scores.softmax(dim=0))


def probability_map(logits: Tensor, rows: Tensor, columns: Tensor, index: int | None = None) -> Tensor:
    """Probability of a class at each pixel, or of the one that wins there: softmax of the resized logits, tile by tile.

    Args:
        logits (Tensor): Logits of an image, (C, h, w).
        rows (Tensor): Row matrix, (H, h).
        columns (Tensor): Column matrix, (W, w).
        index (int, optional): The class; None takes the highest probability.

    Returns:
        Tensor: (H, W), in the type of the matrices.
    """
    maps, probability = _classes_last(logits, rows), rows.new_empty(len(rows), len(columns))
    with torch.autocast(rows.device.type, enabled=False):
        for tile in tiles(rows, columns, len(maps)):
            scores = resize_maps(maps[(slice(None), *tile.source)], tile.rows, tile.columns)
            wanted = scores.amax(dim=0) if index is None else scores[index]
            probability[tile.target] = (wanted - scores.logsumexp(dim=0)).exp()
    return probability


def _classes_last(logits: Tensor, rows: Tensor) -> Tensor:
    """Logits (C, h, w) with the classes last in memory: what goes over a strided axis is slow."""
    return logits.to(rows).permute(1, 2, 0).contiguous().permute(2, 0, 1)


def _label_map(views: Sequence[View], score: Callable[[Tensor], Tensor]) -> Tensor:
    """Argmax of the sum of the views' scores."""
    maps = [_classes_last(logits, rows) for logits, rows, _ in views]
    _, rows, columns = views[0]
    labels = torch.empty(len(rows), len(columns), dtype=torch.int64, device=rows.device)
    with torch.autocast(rows.device.type, enabled=False):
        for parts in zip(*(tiles(rows, columns, len(logits)) for logits, rows, columns in views)):
            scores = sum(score(resize_maps(one[(slice(None), *part.source)], part.rows, part.columns))
                         for one, part in zip(maps, parts))
            labels[parts[0].target] = _argmax(scores)
    return labels


def _argmax(scores: Tensor) -> Tensor:
    """Argmax (r, c) over the classes of scores (C, r, c) that come last in memory.

    On a CPU by numpy, whose argmax over many classes is 3 to 5 times faster than torch's (measured at 150 and 847);
    over few it is slower.
    """
    if scores.device.type != 'cpu' or len(scores) < NUMPY_CLASSES:
        return scores.argmax(dim=0)
    return torch.from_numpy(scores.permute(1, 2, 0).numpy().argmax(axis=2))

"""Logits of an image at feature resolution, from which labels and probabilities of its pixels follow."""
from collections.abc import Iterator

import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor

from mmseg_mvp.errors import UserError

from .decision import Decision
from .label_map import View, classes_last, label_map, probability_map
from .tiled_resize import resize_maps, resized_tiles


class LowResLogits(BaseDataElement):
    """Logits of an image at feature resolution, with the matrices of their resize to the original image.

    Attributes:
        logits (Tensor): Logits of the S rows, (S, h, w): one per class, or one per word with a decision.
        rows (Tensor): Row matrix, (H, h); see :mod:`mmseg_mvp.models.utils.tiled_resize`.
        columns (Tensor): Column matrix, (W, w).
        decision (Decision, optional): Rule for labels, in the metainfo; None takes the class with the highest logit.
    """

    @property
    def rule(self) -> Decision | None:
        """Rule for labels."""
        return self.get('decision')

    def view(self) -> View:
        """Return logits, row matrix and column matrix."""
        return self.logits, self.rows, self.columns

    def resize(self) -> Tensor:
        """Resize the logits to the original image: (C, H, W). With a decision, these are log-probabilities."""
        if self.rule is not None:
            return self._log_probabilities(self.rule.row_classes(self.rows.device), len(self.rule.row_counts))
        with torch.autocast(self.rows.device.type, enabled=False):
            return resize_maps(self.logits.to(self.rows), self.rows, self.columns)

    def probabilities(self) -> Tensor:
        """Compute the probabilities of the classes, (C, H, W). Words of one class share its probability."""
        return self.resize().softmax(dim=0) if self.rule is None else self.resize().exp()

    def label_map(self) -> Tensor:
        """Compute the labels, (H, W) int64, by the decision, else :func:`label_map`."""
        if self.rule is None:
            return self._best_rows()
        if not self.rule.prob_thd and self.rule.area_thd is None:
            return self.rule.row_classes(self.rows.device)[self._best_rows()]
        return self.rule.labels(self._best)

    def before_threshold(self) -> tuple[Tensor, Tensor]:
        """Return the labels (H, W) of a decision and their probabilities (H, W) before the threshold of probability."""
        return self.rule.before_threshold(self._best)

    def probability_map(self, index: int | None = None) -> Tensor:
        """Compute the probability (H, W) of class ``index``; without it, the highest of each pixel."""
        if self.rule is None:
            return self._probability(index)
        kept = None if index is None else torch.arange(len(self.rule.row_counts), device=self.rows.device) == index
        return self._best(kept)[1]

    def _best_rows(self) -> Tensor:
        return label_map(*self.view())

    def _probability(self, index: int | None) -> Tensor:
        return probability_map(*self.view(), index)

    def pieces(self) -> Iterator[tuple[slice, tuple[slice, slice], Tensor]]:
        """Generate resized scores (s, r, c) in pieces, with the slice of their rows S and their place in (H, W)."""
        maps = classes_last(self.logits, self.rows)
        with torch.autocast(self.rows.device.type, enabled=False):
            for target, scores in resized_tiles(maps, self.rows, self.columns):
                yield slice(0, len(maps)), target, scores

    def _best(self, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the best class (H, W) among ``kept`` (C,) and its probability (H, W), softmax over all rows."""
        classes, size = self.rule.row_classes(self.rows.device), (len(self.rows), len(self.columns))
        value, total = self.rows.new_full(size, -torch.inf), self.rows.new_full(size, -torch.inf)
        labels = torch.zeros(size, dtype=torch.int64, device=self.rows.device)
        for part, target, scores in self.pieces():
            total[target] = torch.logaddexp(total[target], scores.logsumexp(dim=0))
            if kept is not None:
                scores = scores.masked_fill(~kept[classes[part]][:, None, None], -torch.inf)
            highest, row = scores.max(dim=0)  # (s, r, c) -> (r, c)
            better = highest > value[target]
            value[target] = highest.where(better, value[target])
            labels[target] = classes[part][row].where(better, labels[target])
        return labels, (value - total).exp()

    def _log_probabilities(self, classes: Tensor, count: int) -> Tensor:
        size = (len(self.rows), len(self.columns))
        best, total = self.rows.new_full((count, *size), -torch.inf), self.rows.new_full(size, -torch.inf)
        for part, target, scores in self.pieces():
            total[target] = torch.logaddexp(total[target], scores.logsumexp(dim=0))
            for label, score in zip(classes[part].tolist(), scores):
                place = (label, *target)
                best[place] = torch.maximum(best[place], score)
        return best - total


class LogitsNotKept(PixelData):
    """Placeholder for full-size ``seg_logits``, which were not computed."""

    @property
    def data(self) -> Tensor:
        """Missing logits; raises UserError with the ways to get them."""
        raise UserError('The sample has no full-size seg_logits, because they need C x H x W values: set '
                        'model.test_cfg.keep_logits=True, call low_res_logits.resize() on the sample, or for test time '
                        'augmentation set tta_model=dict(type=\'LowResSegTTAModel\').')

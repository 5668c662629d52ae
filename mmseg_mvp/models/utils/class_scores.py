"""Highest probability of each class in an image, its place, and logits of some classes."""
from collections.abc import Sequence

import torch
from torch import Tensor

from .low_res_logits import LowResLogits


class ClassScores:
    """Scores of the classes of an image, computed in pieces without the (C, H, W) map.

    Args:
        logits (LowResLogits): Logits of an image of H x W pixels, with a row per class or per word.

    Attributes:
        highest (Tensor): Highest probability of each pixel, (H, W).
        leaders (Tensor): Class with this probability, (H, W) int64; thresholds are not applied.
    """

    def __init__(self, logits: LowResLogits) -> None:
        self._logits, size = logits, (len(logits.rows), len(logits.columns))
        counts = (1, ) * len(logits.logits) if logits.rule is None else logits.rule.row_counts
        self._counts = list(counts)  # rows of each class
        self._total, best = (logits.rows.new_full(size, -torch.inf) for _ in range(2))
        leaders = torch.zeros(size, dtype=torch.int64, device=best.device)
        for part, target, scores in logits.pieces():
            self._total[target] = torch.logaddexp(self._total[target], scores.logsumexp(dim=0))
            values, rows = scores.max(dim=0)
            better = values > best[target]
            best[target] = values.where(better, best[target])
            leaders[target] = (rows + part.start).where(better, leaders[target])
        self.highest = (best - self._total).exp()
        self.leaders = torch.arange(len(counts), device=best.device).repeat_interleave(
            torch.tensor(counts, device=best.device))[leaders]

    def best(self) -> tuple[Tensor, Tensor]:
        """Return the highest probability of each class, (C,), and the row and column of its pixel, (C, 2) int64."""
        count = len(self._logits.logits)
        values, places = self._total.new_full((count, ), -torch.inf), torch.zeros(count, 2, dtype=torch.int64)
        places = places.to(values.device)
        for part, target, scores in self._logits.pieces():
            found, pixels = (scores - self._total[target]).flatten(1).max(dim=1)  # (s,)
            top, left, width = target[0].start or 0, target[1].start or 0, scores.shape[2]
            found_places = torch.stack([top + pixels // width, left + pixels % width], dim=1)
            better = found > values[part]
            values[part] = found.where(better, values[part])
            places[part] = found_places.where(better[:, None], places[part])
        words = [int(one.argmax()) for one in values.split(self._counts)]  # the best word of each class
        return (torch.stack([one[word] for one, word in zip(values.split(self._counts), words)]).exp(),
                torch.stack([one[word] for one, word in zip(places.split(self._counts), words)]))

    def maps(self, labels: Sequence[int], step: int = 1) -> Tensor:
        """Return the logits of n classes at every ``step``-th pixel, (n, H', W'); of words the highest."""
        found = torch.full_like(self._total[::step, ::step], -torch.inf).repeat(len(labels), 1, 1)
        ends = torch.tensor(self._counts).cumsum(0).tolist()
        for part, target, scores in self._logits.pieces():
            scores = scores[(slice(None), *(slice(-(one.start or 0) % step, None, step) for one in target))]
            top, left = (-(-(one.start or 0) // step) for one in target)
            inner = found[:, top:top + scores.shape[1], left:left + scores.shape[2]]
            for index, label in enumerate(labels):
                first, last = ends[label] - self._counts[label] - part.start, ends[label] - part.start
                if len(own := scores[max(first, 0):max(last, 0)]):
                    inner[index] = torch.maximum(inner[index], own.amax(dim=0))
        return found

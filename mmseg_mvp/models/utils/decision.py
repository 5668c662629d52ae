"""Decision for a label: words of a class, threshold of probability, smallest area."""
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

# Best class (H, W) and its probability (H, W), among all classes or the classes of a mask (C,).
Best = Callable[[Tensor | None], tuple[Tensor, Tensor]]


class Decision(NamedTuple):
    """Rule by which scores become labels.

    A row of the scores is a word. The softmax is over all words, and a class has the highest probability of its words
    (SCLIP, arXiv 2312.01597). Without words, each class is one row.

    Attributes:
        row_counts (tuple[int, ...]): Number of rows of each of the C classes.
        background (int, optional): Label of the background.
        prob_thd (float): Pixels whose class is less probable become background.
        area_thd (float, optional): Classes with at most this share of the foreground pixels of the image are removed.
    """
    row_counts: tuple[int, ...]
    background: int | None = None
    prob_thd: float = 0.
    area_thd: float | None = None

    def row_classes(self, device: torch.device) -> Tensor:
        """Return the class of each of the S rows, (S,)."""
        counts = torch.tensor(self.row_counts, device=device)
        return torch.arange(len(counts), device=device).repeat_interleave(counts)

    def labels(self, best: Best) -> Tensor:
        """Compute labels (H, W), int64, from the best class and its probability."""
        labels, probability = self.before_threshold(best)
        return labels.masked_fill(probability < self.prob_thd, self.background) if self.prob_thd else labels

    def before_threshold(self, best: Best) -> tuple[Tensor, Tensor]:
        """Return labels (H, W) and their probabilities (H, W) before the threshold of probability."""
        labels, probability = best(None)
        return (labels, probability) if self.area_thd is None else best(self._large(labels))

    def _large(self, labels: Tensor) -> Tensor:
        """Return which classes (C,) have a large share of the foreground of labels (H, W); the background has."""
        areas = labels.flatten().bincount(minlength=len(self.row_counts))
        areas[self.background] = 0
        large = areas > self.area_thd * areas.sum()
        large[self.background] = True
        return large


def best_of(probabilities: Tensor) -> Best:
    """Return the function for the best class of probabilities (C, H, W)."""
    def best(kept: Tensor | None) -> tuple[Tensor, Tensor]:
        values = probabilities if kept is None else probabilities * kept[:, None, None]
        probability, labels = values.max(dim=0)
        return labels, probability
    return best

"""Prompt denoising and key smoothing of MaskCLIP (Zhou et al., ECCV 2022, arXiv 2112.01071, section 3.3).

Probabilities are the softmax of the logits, which are ``100 * cosine`` in MaskCLIP. A row of the logits is a class,
or a word of a class.
"""
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

# Logit of an absent class. It is finite in float16, and its exp() is 0.
ABSENT = -3e4
# Weights that are held at a time, 64 MiB in float32.
_WEIGHTS = 2**24


def without_absent(logits: Tensor, row_counts: Sequence[int], threshold: float) -> Tensor:
    """Give the logit ``ABSENT`` to the classes whose largest probability in the image is below a threshold.

    If this holds for all classes of an image, its logits stay as they are.

    Args:
        logits (Tensor): Logits, (B, S, h, w).
        row_counts (Sequence[int]): Rows of each class; they sum to S.
        threshold (float): Least probability, 0 to 1; 0.5 in the paper.
    """
    largest = logits.softmax(dim=1).amax(dim=(2, 3))  # (B, S)
    absent = torch.stack([rows.amax(dim=1) for rows in largest.split(list(row_counts), dim=1)], dim=1) < threshold
    absent = absent & ~absent.all(dim=1, keepdim=True)  # (B, C)
    rows = absent.repeat_interleave(torch.tensor(row_counts, device=absent.device), dim=1)
    return logits.masked_fill(rows[:, :, None, None], ABSENT)


def smoothed_by_keys(logits: Tensor, keys: Tensor, threshold: float) -> Tensor:
    """Replace the probabilities of unsure positions by means over the image, weighted by the similarity of keys.

    ``p_i = sum_j w_ij p_j / sum_j w_ij``, with ``w_ij = max(cos(k_i, k_j), 0)`` over all positions j. The paper has
    signed cosines and no sum of weights, so its result is no probability.

    Args:
        logits (Tensor): Logits, (B, S, h, w).
        keys (Tensor): Keys of the last attention, (B, K, h, w).
        threshold (float): Positions whose largest probability is below it are replaced, 0 to 1.

    Returns:
        Tensor: Logarithms of the probabilities, (B, S, h, w).
    """
    scores = logits.flatten(2).float().log_softmax(dim=1)  # (B, S, N)
    units = F.normalize(keys.flatten(2).float(), dim=1)  # (B, K, N)
    for one, unit in zip(scores, units):
        probabilities = one.exp()
        unsure = (probabilities.amax(dim=0) < threshold).nonzero()[:, 0]
        for some in unsure.split(max(_WEIGHTS // unit.shape[1], 1)):
            weights = (unit[:, some].T @ unit).clamp_min(0)  # (n, N)
            means = probabilities @ (weights / weights.sum(dim=1, keepdim=True)).T  # (S, n)
            one[:, some] = means.clamp_min(torch.finfo(means.dtype).tiny).log()
    return scores.reshape(logits.shape).to(logits.dtype)

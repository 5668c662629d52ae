"""Pseudo labels for pixels with hidden classes."""
import torch
from torch import Tensor

from .tiled_resize import resized_tiles


def pseudo_labels(logits: Tensor, candidates: Tensor, size: tuple[int, int],
                  matrices: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Find the most likely of U candidate classes at each pixel, tile by tile.

    Logits (B, C, h, w) are resized to ``size``, (H, W), by a row matrix (H, h) and a column matrix (W, w).

    Returns:
        tuple[Tensor, Tensor]: Classes, (B, H, W), int64, and their probability among the candidates, (B, H, W).
    """
    labels = torch.empty(len(logits), *size, dtype=torch.int64, device=logits.device)
    confidence = torch.empty(len(logits), *size, dtype=matrices[0].dtype, device=logits.device)
    with torch.autocast(logits.device.type, enabled=False):
        for index, maps in enumerate(logits[:, candidates].to(matrices[0])):
            for target, scores in resized_tiles(maps, *matrices):  # (U, r, c)
                best = scores.softmax(dim=0).max(dim=0)
                labels[index][target] = candidates[best.indices]
                confidence[index][target] = best.values
    return labels, confidence

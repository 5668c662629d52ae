"""Pseudo labels for pixels with hidden classes."""
import torch
from torch import Tensor

from ..utils.bands import resize_maps, resize_matrices, tiles


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
            for tile in tiles(*matrices, len(candidates)):
                # (U, r, c)
                scores = resize_maps(maps[(slice(None), *tile.source)].contiguous(), tile.rows, tile.columns)
                best = scores.softmax(dim=0).max(dim=0)
                labels[index][tile.target] = candidates[best.indices]
                confidence[index][tile.target] = best.values
    return labels, confidence

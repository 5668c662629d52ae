"""Labels that a model gives to pixels whose class is hidden."""
import torch
from torch import Tensor

from ..utils.bands import resize_maps, resize_matrices, tiles


def pseudo_labels(logits: Tensor, candidates: Tensor, size: tuple[int, int],
                  matrices: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The most likely of some classes at each pixel, tile by tile.

    Args:
        logits (Tensor): Logits of all classes at feature resolution, (B, C, h, w).
        candidates (Tensor): The classes in question, (U,), int64.
        size (tuple[int, int]): Height H and width W of the labels.
        matrices (tuple[Tensor, Tensor]): Row matrix (H, h) and column matrix (W, w) of the resize.

    Returns:
        tuple[Tensor, Tensor]: Classes (B, H, W), int64, and their probability among the candidates (B, H, W).
    """
    labels = torch.empty(len(logits), *size, dtype=torch.int64, device=logits.device)
    confidence = torch.empty(len(logits), *size, dtype=matrices[0].dtype, device=logits.device)
    with torch.autocast(logits.device.type, enabled=False):
        for index, maps in enumerate(logits[:, candidates].to(matrices[0])):
            for tile in tiles(*matrices, len(candidates)):
                scores = resize_maps(maps[(slice(None), *tile.source)].contiguous(), tile.rows, tile.columns)
                best = scores.softmax(dim=0).max(dim=0)
                labels[index][tile.target] = candidates[best.indices]
                confidence[index][tile.target] = best.values
    return labels, confidence

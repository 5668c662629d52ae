"""Refinement of full-size logits in chunks of classes, without the (C, H, W) map."""
from collections.abc import Iterator

import torch
from torch import Tensor

from .low_res_logits import LowResLogits
from .tiled_resize import resize_maps

# Values per chunk: few calls, since threads of a busy CPU wait for each other in each (measured; not on a GPU).
CHUNK_VALUES = dict(cpu=2**22, cuda=2**25)


class RefinedLogits(LowResLogits):
    """Low-resolution logits of an image that are refined at its full size, on request.

    Attributes:
        logits (Tensor): Logits, (C, h, w).
        rows (Tensor): Row matrix, (H, h); see :mod:`mmseg_mvp.models.utils.tiled_resize`.
        columns (Tensor): Column matrix, (W, w).
        image (Tensor): Colours at full size, (3, H, W).
        refinement (PAMR): Refinement of class maps, in the metainfo.
    """

    def resize(self) -> Tensor:
        """Compute the refined logits, (C, H, W). With a decision, these are log-probabilities."""
        if self.rule is not None:
            return super().resize()
        refined = self.rows.new_empty(len(self.logits), len(self.rows), len(self.columns))
        for part, maps in self._chunks():
            refined[part] = maps
        return refined

    def _best_rows(self) -> Tensor:
        best, labels = None, None
        for part, maps in self._chunks():
            values, indices = maps.max(dim=0)
            indices += part.start
            better = None if best is None else values > best
            best = values if best is None else best.where(~better, values)
            labels = indices if labels is None else labels.where(~better, indices)
        return labels

    def _probability(self, index: int | None) -> Tensor:
        total = wanted = self.rows.new_full((len(self.rows), len(self.columns)), -torch.inf)
        for part, maps in self._chunks():
            total = torch.logaddexp(total, maps.logsumexp(dim=0))
            if index is None:
                wanted = torch.maximum(wanted, maps.amax(dim=0))
            elif part.start <= index < part.stop:
                wanted = maps[index - part.start]
        return (wanted - total).exp()

    def pieces(self) -> Iterator[tuple[slice, tuple[slice, slice], Tensor]]:
        for part, maps in self._chunks():
            yield part, (slice(None), slice(None)), maps

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Generate the refined logits (c, H, W) of some classes at a time, with the slice of these classes."""
        pixels = len(self.rows) * len(self.columns)
        count = max(CHUNK_VALUES.get(self.rows.device.type, CHUNK_VALUES['cuda']) // pixels, 1)
        with torch.autocast(self.rows.device.type, enabled=False):
            weights = self.refinement.weights(self.image)  # (P, H, W)
        for start in range(0, len(self.logits), count):
            part = slice(start, min(start + count, len(self.logits)))
            with torch.autocast(self.rows.device.type, enabled=False):
                maps = resize_maps(self.logits[part].to(self.rows).contiguous(), self.rows, self.columns)
                maps = self.refinement(maps, weights)
            yield part, maps

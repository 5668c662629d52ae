"""Class maps of each prompt for an image, for visualization."""
from typing import NamedTuple

import torch
from torch import Tensor

from .tiled_resize import resize_maps


class Explanation(NamedTuple):
    """Class maps of all prompts and presence of the classes in an image.

    Attributes:
        maps (Tensor): Cosines at feature resolution, (P, C, h, w): the global prompt's ``m_0``, if present, then
            ``m_1 .. m_k``.
        rows (Tensor): Row matrix to the original image, (H, h); see :mod:`mmseg_mvp.models.utils.tiled_resize`.
        columns (Tensor): Column matrix to the original image, (W, w).
        has_global (bool): True if the first map is ``m_0``.
        presence (Tensor, optional): GPR's ``g`` of each class, 0 to 1, (C,); None without GPR.
    """
    maps: Tensor
    rows: Tensor
    columns: Tensor
    has_global: bool
    presence: Tensor | None

    def views(self, index: int, step: int = 1) -> Tensor:
        """Return ``m_1 .. m_k`` of class ``index`` at every ``step``-th pixel of the original image, (k, H', W')."""
        return self._resized(self.maps[self.has_global:, index], step)

    def global_view(self, index: int, step: int = 1) -> Tensor | None:
        """Return ``m_0`` of class ``index`` at every ``step``-th pixel, (H', W'), or None without global prompt."""
        return self._resized(self.maps[:1, index], step)[0] if self.has_global else None

    def _resized(self, maps: Tensor, step: int) -> Tensor:
        with torch.autocast(self.rows.device.type, enabled=False):
            return resize_maps(maps.to(self.rows), self.rows[::step], self.columns[::step])

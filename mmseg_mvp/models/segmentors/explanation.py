"""What the prompts see in an image, for pictures."""
from typing import NamedTuple

import torch
from torch import Tensor

from ..utils.bands import resize_maps


class Explanation(NamedTuple):
    """Maps of all classes under all prompts, and the presence of the classes.

    Attributes:
        maps (Tensor): Cosines at feature resolution, the global prompt's ``m_0`` first if there is one, then ``m_1 ..
            m_k``, (P, C, h, w).
        rows (Tensor): Row matrix to the original image, (H, h); see :mod:`mmseg_mvp.models.utils.bands`.
        columns (Tensor): Column matrix, (W, w).
        has_global (bool): Whether the first map is ``m_0``.
        presence (Tensor, optional): GPR's ``g`` of each class, 0..1, (C,); None where there is no GPR.
    """
    maps: Tensor
    rows: Tensor
    columns: Tensor
    has_global: bool
    presence: Tensor | None

    def views(self, index: int, step: int = 1) -> Tensor:
        """``m_1 .. m_k`` of the class ``index`` at every ``step``-th pixel of the original image, (k, H', W')."""
        return self._resized(self.maps[self.has_global:, index], step)

    def global_view(self, index: int, step: int = 1) -> Tensor | None:
        """``m_0`` of the class ``index`` at every ``step``-th pixel, (H', W'), if there is a global prompt."""
        return self._resized(self.maps[:1, index], step)[0] if self.has_global else None

    def _resized(self, maps: Tensor, step: int) -> Tensor:
        with torch.autocast(self.rows.device.type, enabled=False):
            return resize_maps(maps.to(self.rows), self.rows[::step], self.columns[::step])

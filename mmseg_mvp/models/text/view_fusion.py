"""Fusion of the scores of several prompts into one score per class."""
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

FUSIONS = ('sum', 'logsumexp')


class ViewFusion(nn.Module):
    """Fusion of the scores ``m_1 .. m_k`` of k segmentation prompts, at feature resolution.

    ``'sum'`` is ``sum_i m_i`` (MVP-SEG, fused mask). It is linear, so k prompts score as one embedding ``sum_i t_i``.
    ``'logsumexp'`` is ``k / b * log(mean_i exp(b * m_i))`` with sharpness b (ours): 0 gives the sum, infinity
    ``k * max_i m_i``. One prompt is enough for a high score, so prompts can attend to different parts. With k = 1, both
    are ``m_1``.

    Args:
        views (int): Number k of segmentation prompts.
        kind (str): ``'sum'`` or ``'logsumexp'``.
        sharpness (float): b of ``'logsumexp'``, at least 0; infinity is allowed.
        learned (bool): If True, b is learned as its logarithm.

    Raises:
        UserError: If the kind is unknown, or the sharpness is out of range.
    """

    def __init__(self, views: int, kind: str = 'sum', sharpness: float = 50., learned: bool = False) -> None:
        super().__init__()
        if kind not in FUSIONS:
            raise UserError(f'The fusion of the prompts is {kind!r}: expected one of {", ".join(FUSIONS)}.')
        if sharpness != math.inf:
            check_number('The sharpness of the fusion', sharpness, least=0)
        self.views, self.kind, self.sharpness = views, kind, float(sharpness)
        self.linear = kind == 'sum' or views == 1
        self.log_sharpness = None
        if learned:
            if self.linear or not 0 < sharpness < math.inf:
                raise UserError("A learned sharpness needs the fusion 'logsumexp', at least two prompts, and a finite "
                                'start above 0: set learned=False, or change these.')
            self.log_sharpness = nn.Parameter(torch.tensor(math.log(sharpness)))

    @property
    def rows(self) -> int:
        """Number of embeddings per wording that score features: 1 if the fusion is linear, else k."""
        return 1 if self.linear else self.views

    def config(self) -> dict:
        """Return the settings that :func:`build_fusion` takes."""
        return dict(type='sum') if self.kind == 'sum' else dict(
            type=self.kind, sharpness=self.sharpness, learned=self.log_sharpness is not None)

    def embeddings(self, views: Tensor) -> Tensor:
        """Return the embeddings that score features, (rows, S, D), of those of the k prompts, (k, S, D)."""
        return views.sum(dim=0, keepdim=True) if self.linear else views

    def forward(self, maps: Tensor) -> Tensor:
        """Fuse scores (B, rows + G, S, h, w); the G last ones stay as they are: (B, 1 + G, S, h, w)."""
        if self.linear:
            return maps
        return torch.cat([self._fuse(maps[:, :self.views]), maps[:, self.views:]], dim=1)

    def _fuse(self, maps: Tensor) -> Tensor:
        """Fuse (B, k, S, h, w) to (B, 1, S, h, w)."""
        if self.log_sharpness is None and self.sharpness == 0:
            return maps.sum(dim=1, keepdim=True)
        if self.log_sharpness is None and self.sharpness == math.inf:
            return self.views * maps.amax(dim=1, keepdim=True)
        sharpness = self.sharpness if self.log_sharpness is None else self.log_sharpness.exp()
        mean = (sharpness * maps).logsumexp(dim=1, keepdim=True) - math.log(self.views)
        return self.views / sharpness * mean


def build_fusion(fusion: str | dict, views: int) -> ViewFusion:
    """Build the fusion of a config: a kind, or a dict of ``type`` (the kind), ``sharpness`` and ``learned``.

    Raises:
        UserError: If the setting is not valid.
    """
    settings = dict(type=fusion) if isinstance(fusion, str) else fusion
    if not isinstance(settings, dict) or not {'type'} <= set(settings) <= {'type', 'sharpness', 'learned'}:
        raise UserError(f"The fusion of the prompts is {fusion!r}: expected 'sum', 'logsumexp', or a dict such as "
                        f"dict(type='logsumexp', sharpness=50., learned=False).")
    settings = dict(settings)
    return ViewFusion(views, settings.pop('type'), **settings)


def class_maps(features: Tensor, weights: Tensor, row_counts: Sequence[int],
               fusion: ViewFusion | None = None) -> Tensor:
    """Score features by products with text embeddings, with the highest score over the wordings of each class.

    Args:
        features (Tensor): Dense features, (B, D, h, w).
        weights (Tensor): Text embeddings of V views, (V, S, D).
        row_counts (Sequence[int]): Rows of each class; they sum to S.
        fusion (ViewFusion, optional): Fusion of the views; None keeps them.

    Returns:
        Tensor: Class maps, (B, V, C, h, w), or fused, (B, 1 or 2, C, h, w).
    """
    maps = torch.einsum('bdhw,vsd->bvshw', features, weights)  # (B, V, S, h, w)
    maps = maps if fusion is None else fusion(maps)
    if max(row_counts) == 1:
        return maps
    return torch.stack([rows.amax(dim=2) for rows in maps.split(list(row_counts), dim=2)], dim=2)

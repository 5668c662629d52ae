"""Dense features by the attention of a proxy over CLIP's values (ProxyCLIP, Lan et al., ECCV 2024, arXiv 2408.04883).

For the unit features f of the proxy's patches, in each image::

    S = f f'                                            cosines, of mean m over all pairs
    W = softmax(sharpness * S), where S < threshold * m is omitted
    F = project(W v)                                    v: values of CLIP, resized to the grid of the proxy

Each patch keeps its own value at least: where all patches are alike, m is near 1 and the threshold exceeds all S. W is
the same for all heads. Its rows sum to 1, so it may follow a linear projection of v, such as ``out_proj``.
"""
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import on_tokens
from .frozen import Frozen
from .proxy import Proxy, ProxyVariant

# Scores that are held at a time, 64 MiB in float32.
_SCORES = 2**24


class ProxyTower(nn.Module):
    """Dense features of a tower without attention, mixed by the attention of a proxy.

    The features lie on the proxy's grid. Images are resized for the proxy if its patch is no divisor of CLIP's stride.

    Args:
        tower (nn.Module): Dense tower of the variant ``'value'``: its ``attended`` gives v, its ``project`` takes W v.
        proxy (Proxy): Model of the similarities. It is held frozen, without parameters or state of this module.
        variant (ProxyVariant): Threshold and sharpness.

    Attributes:
        stride (int): Pixels per feature along each side: the divisor of CLIP's stride nearest to the proxy's patch.
        channels (tuple[int, ...]): Output channels of CLIP's layers or blocks.
        embed_dim (int): Size D of the joint embedding.
    """

    def __init__(self, tower: nn.Module, proxy: Proxy, variant: ProxyVariant) -> None:
        super().__init__()
        self.tower, self.variant = tower, variant
        self.proxy = Frozen(proxy)
        divisors = [side for side in range(1, tower.stride + 1) if tower.stride % side == 0]
        self.stride = min(divisors, key=lambda side: abs(side - proxy.patch))
        self.channels, self.embed_dim = tower.channels, tower.embed_dim

    @property
    def visual(self) -> nn.Module:
        """Image tower of open_clip."""
        return self.tower.visual

    def idle_parameters(self, out_indices: Sequence[int] = ()) -> list[nn.Parameter]:
        """Return the parameters of CLIP without effect on the output."""
        return self.tower.idle_parameters(out_indices)

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Outputs of the layers or blocks ``out_indices`` of CLIP, then dense features
            (B, D, H/stride, W/stride).
        """
        grid = [side // self.stride for side in images.shape[2:]]
        pad_h, pad_w = (-side % self.tower.stride for side in images.shape[2:])
        *outputs, values = self.tower.attended(F.pad(images, (0, pad_w, 0, pad_h)), out_indices)
        values = F.interpolate(values, scale_factor=self.tower.stride // self.stride, mode='bilinear',
                               align_corners=False)[..., :grid[0], :grid[1]]  # (B, width, h, w)
        features = self.proxy(images, grid)  # (B, h*w, C)
        mixed = on_tokens(lambda tokens: attend_by_similarity(features, tokens, self.variant), values)
        return *outputs, self.tower.project(mixed)


def attend_by_similarity(features: Tensor, values: Tensor, variant: ProxyVariant) -> Tensor:
    """Apply the weights W to values (B, N, width), for unit features (B, N, C): (B, N, width).

    The omission depends on the scores, and torch's fused attention takes it only as a mask of all pairs, so the scores
    would be computed twice. Here they are computed once, for some rows at a time, and all heads share them.
    """
    rows = max(1, _SCORES // (features.shape[0] * features.shape[1]))
    own = torch.arange(features.shape[1], device=features.device)
    mean = features.mean(dim=1).square().sum(dim=-1)  # (B,), equals the mean of all cosines
    least = variant.threshold * mean[:, None, None]
    mixed = []
    for some, index in zip(features.split(rows, dim=1), own.split(rows)):
        scores = some @ features.transpose(1, 2)  # (B, rows, N)
        omitted = (scores < least) & (index[:, None] != own)
        weights = (variant.sharpness * scores).masked_fill(omitted, float('-inf')).softmax(dim=-1)
        mixed.append(weights @ values)
    return torch.cat(mixed, dim=1)

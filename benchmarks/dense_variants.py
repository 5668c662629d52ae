"""Dense variants of ViT-B/16 on a 512x512 image: against the same formula with N x N scores, and against MaskCLIP.

Weights are random. The bar is that a variant costs at most 10 % more than 'maskclip', over the whole tower.
"""
from collections.abc import Sequence

import harness
import torch
from image_tower import extract, image_tower
from torch import Tensor, nn

from mmseg_mvp.clip.attention import add_mlp, projections
from mmseg_mvp.clip.dense_variants import VIT_VARIANTS, neighbour_bias
from mmseg_mvp.clip.image_tower import ViTTower

MODEL, SMALL = 'ViT-B-16-quickgelu', 'ViT-B-32-quickgelu'


class PlainTower(ViTTower):
    """ViT tower whose last attention holds all scores, (B, heads, N, N)."""

    def _dense_block(self, block: nn.Module, x: Tensor, grid: Sequence[int], middle: Sequence) -> Tensor:
        variant, parts = self.variant, dict(zip('qkv', projections(block, x)))
        bias = 0. if variant.neighbourhood is None else neighbour_bias(grid, variant.neighbourhood, 1, x)
        weights = sum(_softmax(parts[a], parts[b], bias) for a, b in variant.pairs)
        if middle:
            mean = sum(_softmax(query, key, 0.) for query, key in middle) / len(middle)
            weights = (1 - variant.middle_share) * weights + variant.middle_share * mean
        mixed = variant.scale * weights @ parts['v'].transpose(1, 2)  # (B, heads, N, d)
        attended = block.ls_1(block.attn.out_proj(mixed.transpose(1, 2).flatten(-2)))
        return add_mlp(block, x + attended) if variant.residual else attended


def _softmax(one: Tensor, other: Tensor, bias: Tensor | float) -> Tensor:
    """Return weights (B, heads, N, N) of vectors (B, N, heads, d)."""
    one, other = one.transpose(1, 2), other.transpose(1, 2)
    return (one @ other.transpose(2, 3) * one.shape[-1]**-0.5 + bias).softmax(dim=-1)


def main() -> None:
    args = harness.arguments(__doc__)
    rows, size = [], 64 if args.quick else 512
    visual = image_tower(SMALL if args.quick else MODEL, args)
    images = torch.randn(1, 3, size, size, device=args.device).to(visual.conv1.weight)
    maskclip = extract(ViTTower(visual), images, args.dtype)
    for name, variant in VIT_VARIANTS.items():
        if variant.pairs:
            case, ours = f'{name}, B=1', extract(ViTTower(visual, variant), images, args.dtype)
            plain = extract(PlainTower(visual, variant), images, args.dtype)
            rows += harness.compare('dense variant', case, {'N x N scores': plain, 'ours': ours}, 'N x N scores',
                                    harness.relative_error, **harness.settings(args))
            rows += harness.compare('dense variant and MaskCLIP', case, {'maskclip': maskclip, 'ours': ours},
                                    'maskclip', lambda *_: None, **harness.settings(args))
            harness.save(rows, args)


if __name__ == '__main__':
    main()

"""Frozen image tower: dense features of 512x512 images, against the same tower as in open_clip.

Peer: the tower without gradients, with no other change. Weights are random. BatchNorm's parameters and statistics are
random too, since their initial values have no effect.
"""
import argparse
import copy
from collections.abc import Callable

import harness
import torch
from torch import Tensor, nn

from mmseg_mvp.clip import fold_batch_norm, load_clip
from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.image_tower import ViTTower

MODELS = {'ViT-B/16': 'ViT-B-16-quickgelu', 'RN50': 'RN50-quickgelu'}
SMALL = {'ViT-B/32': 'ViT-B-32-quickgelu', 'RN50': 'RN50-quickgelu'}
HALF = ('bfloat16', 'float16')


class PlainViTTower(ViTTower):
    """ViT tower with open_clip's blocks, which use nn.MultiheadAttention."""

    def _block(self, block: nn.Module, x: Tensor) -> Tensor:
        return block(x)


def image_tower(name: str, args: argparse.Namespace) -> nn.Module:
    """Build open_clip's image tower with random BatchNorms."""
    visual = copy.deepcopy(load_clip(name).model.visual)
    torch.manual_seed(0)
    for module in visual.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.1, 0.1),
                                      (module.running_mean, -0.1, 0.1), (module.running_var, 0.5, 2.)):
                nn.init.uniform_(values, low, high)
    return visual.to(args.device, torch.float64 if args.dtype == 'float64' else torch.float32)


def towers(visual: nn.Module) -> dict[str, nn.Module]:
    """Build the variants of a tower, by name."""
    if hasattr(visual, 'transformer'):
        return {'plain': PlainViTTower(visual), 'ours': dense_tower(visual)}
    plain = dense_tower(visual)
    ours = fold_batch_norm(plain)
    return {'plain': plain,
            'channels last': copy.deepcopy(plain).to(memory_format=torch.channels_last),
            'BatchNorm folded': copy.deepcopy(ours).to(memory_format=torch.contiguous_format),
            'ours': ours}


def extract(tower: nn.Module, images: Tensor, precision: str) -> Callable[[], Tensor]:
    """Return a function that computes the dense features, (B, D, h, w)."""
    @torch.no_grad()
    def run() -> Tensor:
        with torch.autocast(images.device.type, getattr(torch, precision, None), enabled=precision in HALF):
            return tower(images)[0]
    return run


def main() -> None:
    args = harness.arguments(__doc__)
    rows, size = [], 64 if args.quick else 512
    for label, name in (SMALL if args.quick else MODELS).items():
        visual = image_tower(name, args)
        for batch in (1, 2) if args.device == 'cpu' else (1, 16):
            images = torch.randn(batch, 3, size, size, device=args.device).to(visual.conv1.weight)
            variants = {form: extract(tower, images, args.dtype) for form, tower in towers(visual).items()}
            if args.dtype == 'float32':
                variants['ours, bfloat16 autocast'] = extract(towers(visual)['ours'], images, 'bfloat16')
            rows += harness.compare('image tower', f'{label}, {size}x{size}, B={batch}', variants, 'plain',
                                    harness.relative_error, **harness.settings(args))
            harness.save(rows, args)


if __name__ == '__main__':
    main()

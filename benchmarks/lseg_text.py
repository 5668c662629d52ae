"""Cost of text when LSeg evaluates a 512x683 image in windows with 150 labels.

LSeg with ViT-B/32, its fastest encoder, windows of 480 every 320 pixels and random weights. Peers: the image alone,
with constant text embeddings, and the official evaluator, which encodes the labels in each window. Ours encodes the
labels once for all images, with the first image.
"""
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import harness
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
from torch import Tensor, nn

import mmseg_mvp  # noqa: F401  (registers)

CONFIG = Path(__file__).resolve().parents[1] / 'configs' / 'lseg' / 'ade20k_vit-b32.py'
PEER = 'the image alone'


def segmentor(quick: bool) -> nn.Module:
    """Build LSeg with random weights in eval mode."""
    model = Config.fromfile(CONFIG).model
    model.clip.weights = model.backbone.init_cfg = None
    model.decode_head.norm_cfg = dict(type='BN')
    if quick:
        model.clip = dict(model='toy-rn', weights='toy')
        model.decode_head.train_classes = 'toy'
        model.backbone.update(embed_dims=48, num_heads=2, num_layers=12)
        model.decode_head.update(in_channels=48, channels=16, post_process_channels=[8, 8, 8, 8])
    torch.manual_seed(0)
    return MODELS.build(model).eval()


def variants(model: nn.Module, image: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Build functions for the label map with text that is constant, cached, or encoded per image or per window."""
    classifier, decode = model.decode_head.classifier, model.encode_decode
    constant = classifier.embeddings()

    @torch.no_grad()
    def predict() -> Tensor:
        return model.predict(image)[0].pred_sem_seg.data

    def forgetful(run: Callable) -> Callable:
        def forget_and_run(*args) -> Tensor:
            classifier._cache.clear()
            return run(*args)
        return forget_and_run

    def patched(target: nn.Module, name: str, replacement: Callable) -> Callable:
        def run() -> Tensor:
            with mock.patch.object(target, name, replacement):
                return predict()
        return run

    return {PEER: patched(classifier, 'embeddings', lambda: constant), 'ours': predict,
            'ours, the first image': forgetful(predict),
            'labels encoded per window': patched(model, 'encode_decode', forgetful(decode))}


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    model = segmentor(args.quick).to(args.device)
    image = torch.randn(1, 3, *((96, 160) if args.quick else (512, 683)), device=args.device)
    if args.quick:
        model.test_cfg.update(crop_size=(96, 96), stride=(64, 64))
    case = 'toy' if args.quick else 'ViT-B/32, 150 labels, 512x683, 4 windows'
    rows = harness.compare('text in an evaluation', case, variants(model, image), PEER, harness.disagreement,
                           **harness.settings(args))
    harness.save(rows, args)


if __name__ == '__main__':
    main()

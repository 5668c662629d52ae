"""Segmentation loss, forward and backward to logits of 32x32 for labels of 512x512.

Peers: the paper's formula (resize, softmax, times g, log), and mmseg's cross-entropy of resized logits, with the log g
term added by a histogram.
"""
from collections.abc import Callable

import harness
import peers
import torch
from mmseg.models.utils import resize
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.models.losses import RefinedSegLoss
from mmseg_mvp.models.losses.refined_seg_loss import label_histogram


def cross_entropy(logits: Tensor, label: Tensor, log_presence: Tensor) -> Tensor:
    """Compute mmseg's loss: resize, then cross-entropy; a scalar ()."""
    maps = resize(logits, size=label.shape[1:], mode='bilinear', align_corners=False)
    counts = label_histogram(label, logits.shape[1])
    return F.cross_entropy(maps, label, ignore_index=255) - (counts * log_presence).sum() / counts.sum()


def ours(logits: Tensor, label: Tensor, log_presence: Tensor) -> Tensor:
    """Compute the loss of this package; a scalar ()."""
    return RefinedSegLoss()(logits, label, log_presence=log_presence)


def inputs(classes: int, batch: int, small: int, large: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Draw logits (B, C, small, small), labels (B, large, large) with a tenth ignored, and log g (B, C)."""
    torch.manual_seed(0)
    logits = 3 * torch.randn(batch, classes, small, small)
    label = torch.randint(0, classes, (batch, 1, small // 2, small // 2)).float()
    label = F.interpolate(label, size=(large, large)).long()[:, 0]
    label[torch.rand(label.shape) < 0.1] = 255
    return logits.to(device), label.to(device), F.logsigmoid(torch.randn(batch, classes)).to(device)


def gradient(loss: Callable, logits: Tensor, label: Tensor, log_presence: Tensor) -> Callable[[], Tensor]:
    def run() -> Tensor:
        leaf = logits.clone().requires_grad_()
        loss(leaf, label, log_presence).backward()
        return leaf.grad
    return run


def main() -> None:
    args = harness.arguments(__doc__)
    small, large = (4, 32) if args.quick else (32, 512)
    sizes = [(15, 4), (150, 1), (156, 4), (847, 1)]
    if args.device != 'cpu':
        sizes += [(150, 16)]
    rows = []
    for classes, batch in sizes:
        data = inputs(classes, batch, small, large, args.device)
        variants = {name: gradient(loss, *data) for name, loss in (
            ('as written', peers.loss_as_written), ('cross-entropy of resized logits', cross_entropy), ('ours', ours))}
        case = f'C={classes}, B={batch}'
        rows += harness.compare('loss', case, variants, 'as written', harness.relative_error,
                                **harness.settings(args))
        del variants['as written']
        rows += harness.compare('loss against cross-entropy', case, variants, 'cross-entropy of resized logits',
                                harness.relative_error, **harness.settings(args))
        harness.save(rows, args)


if __name__ == '__main__':
    main()

"""Statistics of scores in the blocks of spatial regularization, trained or fresh."""
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mmseg_mvp.models import SpatialRegularization

BATCHES = 4
FRESH = 1000


@torch.no_grad()
def scores(model: nn.Module, dataloader) -> Tensor:
    """Collect the input of a segmentor's regularization over the first ``BATCHES`` batches, (B, N, h, w)."""
    found = []
    layer = model.decode_head.conv_seg.regularization
    hook = layer.register_forward_pre_hook(lambda module, inputs: found.append(inputs[0]))
    for _, data in zip(range(BATCHES), dataloader):
        model.test_step(data)
    hook.remove()
    return torch.cat(found)


@torch.no_grad()
def after_each_block(module: SpatialRegularization, scores: Tensor) -> Iterator[dict]:
    """Yield the share of positive values and the spread over labels, before the first block and after each.

    Values after a block are taken before its activation.

    Args:
        module (SpatialRegularization): Blocks to apply.
        scores (Tensor): Input, (B, N, h, w).
    """
    yield dict(block=module.block, depth=module.depth, application=0, **_describe(scores))
    if not module.depth:
        return
    single = SpatialRegularization(module.block, depth=1)
    single.load_state_dict(module.state_dict())
    for application in range(1, module.depth + 1):
        scores = single(scores)
        yield dict(block=module.block, depth=module.depth, application=application, **_describe(scores))
        scores = module.activation(scores)


def _describe(scores: Tensor) -> dict[str, float]:
    return dict(positive=round((scores > 0).float().mean().item(), 4), spread=round(scores.std(dim=1).mean().item(), 4))


@torch.no_grad()
def of_fresh_blocks(scores: Tensor) -> Iterator[dict]:
    """Yield the share of fresh blocks that lose the labels: spread below 1 % of the input's spread.

    Args:
        scores (Tensor): Scores of a segmentor without regularization, (B, N, h, w). Only the first image is used.
    """
    scores = scores[:1]
    for block in ('depthwise', 'bottleneck'):
        for depth in (1, 2, 4):
            torch.manual_seed(0)
            spreads = torch.stack([SpatialRegularization(block, depth=depth)(scores).std(dim=1).mean()
                                   for _ in range(FRESH)])
            lost = (spreads < 0.01 * scores.std(dim=1).mean()).float().mean().item()
            yield dict(block=block, depth=depth, lost=round(lost, 4))

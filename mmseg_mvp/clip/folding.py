"""Folding of BatchNorm for inference."""
import copy

import torch
from mmcv.cnn import fuse_conv_bn
from open_clip.modified_resnet import ModifiedResNet
from torch import nn


def fold_batch_norm(tower: nn.Module) -> nn.Module:
    """Fold the BatchNorm layers of a ResNet into its convolutions, for inference only.

    The result is a copy with channels-last memory that shares the attention pool. Features stay equal up to rounding. A
    ViT is returned unchanged.

    Args:
        tower (nn.Module): Result of :func:`mmseg_mvp.clip.image_tower.dense_tower`.
    """
    if not isinstance(tower.visual, ModifiedResNet):
        return tower
    pool = tower.visual.attnpool
    folded = fuse_conv_bn(copy.deepcopy(tower, {id(pool): pool}))
    return folded.to(memory_format=torch.channels_last)

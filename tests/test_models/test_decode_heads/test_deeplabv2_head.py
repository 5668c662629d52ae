"""DeepLabV2's head against torch's own convolutions, one branch at a time."""
import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401


def build(dilations):
    torch.manual_seed(0)
    head = MODELS.build(dict(
        type='DeepLabV2Head', in_channels=6, in_index=1, channels=8, num_classes=5, dilations=dilations,
        norm_cfg=dict(type='BN'))).double().eval()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(values)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return head


def naive(head, x, dilations):
    total = 0
    for branch, dilation in zip(head.branches, dilations):
        norm, padding = branch.bn, 0 if dilation == 1 else dilation
        one = F.conv2d(x, branch.conv.weight, padding=padding, dilation=dilation)
        one = (one - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + norm.eps).sqrt()
        total = total + torch.relu(one * norm.weight[:, None, None] + norm.bias[:, None, None])
    return F.conv2d(total, head.conv_seg.weight, head.conv_seg.bias)


@pytest.mark.parametrize('dilations', [(6, 12, 18, 24), (1, 2, 3), (4, )])
def test_values_and_gradients_are_those_of_a_sum_of_dilated_convolutions(dilations):
    head = build(dilations)
    assert [branch.conv.kernel_size[0] for branch in head.branches] == [1 if d == 1 else 3 for d in dilations]
    x = torch.randn(2, 6, 13, 9, dtype=torch.float64, requires_grad=True)
    ours, theirs = head((torch.zeros(()), x)), naive(head, x, dilations)
    assert ours.shape == (2, 5, 13, 9) and torch.allclose(ours, theirs)
    inputs, upstream = [x, *head.parameters()], torch.randn_like(ours)
    for mine, expected in zip(*(torch.autograd.grad(out, inputs, upstream) for out in (ours, theirs))):
        assert torch.allclose(mine, expected) and expected.abs().sum() > 0

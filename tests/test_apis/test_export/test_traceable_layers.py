"""Layers in other words do what torch's do."""
import copy

import pytest
import torch
from torch import nn

from mmseg_mvp.apis.export.traceable import make_traceable


@torch.no_grad()
@pytest.mark.parametrize('grid', [1, (2, 3), (None, 4), 6])
@pytest.mark.parametrize('size', [(6, 12), (7, 11), (2, 5)])
def test_pooling(grid, size):
    layer = nn.AdaptiveAvgPool2d(grid)
    x = torch.randn(2, 3, *size)
    expected = layer(x)
    make_traceable(layer)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert type(layer) is not nn.AdaptiveAvgPool2d


@torch.no_grad()
@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('bias', [True, False])
def test_attention(batch_first, bias):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    query, key, value = torch.randn(3, 5, 8), torch.randn(3, 7, 8), torch.randn(3, 7, 8)
    tokens = [one if batch_first else one.transpose(0, 1) for one in (query, key, value)]
    mask = torch.zeros(5, 7)
    mask[:, 3] = float('-inf')
    expected, masked = layer(*tokens)[0], layer(*tokens, attn_mask=mask)[0]
    traceable = nn.Sequential(copy.deepcopy(layer))
    make_traceable(traceable)
    assert torch.allclose(traceable[0](*tokens)[0], expected, atol=1e-5)
    assert torch.allclose(traceable[0](*tokens, attn_mask=mask)[0], masked, atol=1e-5)
    assert type(layer) is nn.MultiheadAttention is not type(traceable[0])

"""Parts of a transformer block, compared with open_clip's block."""
import copy

import pytest
import torch

from mmseg_mvp.clip import load_clip
from mmseg_mvp.clip.attention import apply_block, attend, finish, projections


@pytest.fixture
def blocks(tiny_vit):
    return copy.deepcopy(load_clip(**tiny_vit).model.visual.transformer.resblocks).double()


@pytest.mark.parametrize('grad', [True, False])
def test_apply_block_equals_the_block_of_open_clip(blocks, grad):
    x = torch.randn(2, 5, 64, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        for block in blocks:
            assert torch.allclose(apply_block(block, x), block(x), rtol=0, atol=1e-10)


def test_causal_attention_equals_the_block_of_open_clip_with_a_mask(blocks):
    x = torch.randn(2, 5, 64, dtype=torch.float64)
    mask = torch.full((5, 5), float('-inf'), dtype=torch.float64).triu(1)
    for block in blocks:
        found = finish(block, x, attend(*projections(block, x), causal=True))
        assert torch.allclose(found, block(x, attn_mask=mask), rtol=0, atol=1e-10)


def test_projections_have_one_part_per_head(blocks):
    query, key, value = projections(blocks[0], torch.randn(3, 2, 5, 64, dtype=torch.float64))
    heads = blocks[0].attn.num_heads
    assert query.shape == key.shape == value.shape == (3, 2, 5, heads, 64 // heads)

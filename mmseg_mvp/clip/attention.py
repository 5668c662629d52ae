"""Transformer block of open_clip, divided into the parts that the image tower and the text tower share.

open_clip's block calls ``nn.MultiheadAttention``, which stores all attention scores when gradients are off and hides
the keys and values. torch's fused attention avoids both.
"""
from collections.abc import Callable

from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor
from torch.nn import functional as F


def apply_block(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """Apply a block without mask to tokens (B, N, width)."""
    return finish(block, x, attend(*projections(block, x)))


def projections(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values (..., heads, d) of the input (..., width) of a block."""
    attention = block.attn
    x = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    # reshape instead of unflatten, because the ONNX export would freeze the traced size.
    return x.reshape(*x.shape[:-1], 3, attention.num_heads, attention.head_dim).unbind(-3)


def attend(query: Tensor, key: Tensor, value: Tensor, causal: bool = False, bias: Tensor | None = None) -> Tensor:
    """Apply attention to queries, keys and values, (B, N, heads, d) each: (B, N, heads, d).

    ``bias`` (N, N) is added to the scaled scores.
    """
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))  # (B, heads, N, d)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=causal).transpose(1, 2)


def finish(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """Add attended values (..., heads, d) to the input x (..., width), then the MLP: (..., width)."""
    return add_mlp(block, x + block.ls_1(block.attn.out_proj(attended.flatten(-2))))


def add_mlp(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
    """Apply the MLP with its residual connection to tokens (..., width)."""
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def on_tokens(function: Callable[[Tensor], Tensor], maps: Tensor) -> Tensor:
    """Apply a function of tokens, (B, h*w, C) to (B, h*w, D), to maps (B, C, h, w): (B, D, h, w)."""
    tokens = function(maps.flatten(2).transpose(1, 2))
    # reshape instead of unflatten, because the ONNX export would freeze the traced size.
    return tokens.transpose(1, 2).reshape(maps.shape[0], -1, *maps.shape[2:])

"""Forward passes for the training of a ResNet CLIP; equal to those of open_clip and cheaper.

They serve ``tools/toy/train_clip.py``, which trains the shipped toy model.
"""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def encode_text(model: nn.Module, tokens: Tensor) -> Tensor:
    """Encode tokens (N, L) to unit embeddings (N, D), as open_clip's ``encode_text`` without padding."""
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(x)), tokens.argmax(1)] @ model.text_projection, dim=-1)


def encode_cells(model: nn.Module, images: Tensor) -> Tensor:
    """Encode images (B, 3, H, W) to the cells before the attention pool (B, C, h, w)."""
    visual = model.visual
    return visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))


def pool_cells(model: nn.Module, cells: Tensor) -> Tensor:
    """Apply open_clip's attention pool with its single query: (B, C, h, w) to (B, D).

    The query is multiplied into the key weights, and values are averaged before their projection. The key bias cancels
    in the softmax, so the result is equal at a fraction of the cost.
    """
    pool = model.visual.attnpool
    x = cells.flatten(2).transpose(1, 2)
    x = torch.cat([x.mean(1, keepdim=True), x], dim=1) + pool.positional_embedding
    heads = pool.num_heads
    query = pool.q_proj(x[:, 0]).unflatten(1, (heads, -1))
    query = torch.einsum('bhd,hdc->bhc', query, pool.k_proj.weight.unflatten(0, (heads, -1))) * query.shape[-1]**-.5
    mixed = (query @ x.transpose(1, 2)).softmax(-1) @ x
    value = torch.einsum('bhc,hdc->bhd', mixed, pool.v_proj.weight.unflatten(0, (heads, -1))).flatten(1)
    return pool.c_proj(value + pool.v_proj.bias)


def project_cells(model: nn.Module, cells: Tensor) -> Tensor:
    """Compute MaskCLIP's dense features with merged projections: (B, C, h, w) to (B, D, h, w)."""
    pool = model.visual.attnpool
    weight = pool.c_proj.weight @ pool.v_proj.weight
    return F.conv2d(cells, weight[..., None, None], pool.c_proj(pool.v_proj.bias))

"""Forward passes and starting weights for the training of the shipped toy CLIPs, by ``tools/toy/train_clip.py``.

The passes are equal to those of open_clip and cheaper.
"""
import math

import torch
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import add_mlp, apply_block, attend, projections

# Neighbours that the heads of a ViT read at the start, as rows and columns to go down and right.
NEIGHBOURS = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]


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


def encode_patches(visual: VisionTransformer, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute CLIP's embedding and two kinds of dense features in one pass.

    Args:
        visual (VisionTransformer): Image tower.
        images (Tensor): Normalised images (B, 3, H, W) of the size of the tower.

    Returns:
        tuple[Tensor, Tensor, Tensor]: Embeddings (B, D), and dense features (B, D, h, w) of the variants ``'maskclip'``
        and ``'value'``.
    """
    *blocks, last = visual.transformer.resblocks
    x = visual._embeds(images)  # (B, 1 + h*w, width)
    for block in blocks:
        x = apply_block(block, x)
    query, key, value = projections(last, x)
    mixed = torch.cat([attend(query[:, :1], key, value), value[:, 1:]], dim=1)  # (B, 1 + h*w, heads, d)
    attended = last.ls_1(last.attn.out_proj(mixed.flatten(-2)))
    whole, bare = (visual.ln_post(tokens) @ visual.proj for tokens in (add_mlp(last, x + attended), attended[:, 1:]))
    masked, values = (tokens.transpose(1, 2).unflatten(2, visual.grid_size) for tokens in (whole[:, 1:], bare))
    return whole[:, 0], masked, values


@torch.no_grad()
def start_as_convolution(visual: VisionTransformer, sharpness: float = 6.) -> None:
    """Set weights with which each head of each block reads one of the 3 x 3 neighbours of a patch.

    The first d channels of tokens, d per head, hold a position as sines and cosines. Keys are this code, and queries
    are the code turned to the neighbour, so the score is highest there. Such a start spares a small ViT the search for
    locality (idea: Zheng et al., Structured Initialization for Attention in Vision Transformers, arXiv 2404.01139).

    Args:
        visual (VisionTransformer): Image tower of nine heads, with d a multiple of 4.
        sharpness (float): Score of the neighbour for codes that no LayerNorm has scaled.
    """
    width, (rows, columns) = visual.conv1.out_channels, visual.grid_size
    size = width // len(NEIGHBOURS)
    speeds = math.pi * (torch.arange(size // 4) + .5) / (size // 4)  # (d/4, ) radians per patch
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    angles = (torch.stack([row, column], dim=-1)[..., None] * speeds).flatten(0, 1)  # (h*w, 2, d/4)
    nn.init.normal_(visual.positional_embedding, std=.002)
    visual.positional_embedding[:, :size] = 0
    visual.positional_embedding[1:, :size] = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
    visual.conv1.weight[:size] *= .05
    blocks = visual.transformer.resblocks
    for block in blocks:
        _start_block(block, width, len(blocks), size)
        query, key, _ = block.attn.in_proj_weight.chunk(3)
        for head, shift in enumerate(NEIGHBOURS):
            code = slice(head * size, (head + 1) * size), slice(size)
            gain = math.sqrt(sharpness * 2 / math.sqrt(size))
            key[code] += gain * torch.eye(size)
            query[code] += gain * torch.block_diag(*(_turn(speeds * step) for step in shift))


def _start_block(block: ResidualAttentionBlock, width: int, depth: int, size: int) -> None:
    """Set random weights of a block that barely change the position code in the first ``size`` channels."""
    for weight in (block.attn.in_proj_weight, block.mlp.c_fc.weight):
        nn.init.normal_(weight, std=width**-.5)
    for weight in (block.attn.out_proj.weight, block.mlp.c_proj.weight):
        nn.init.normal_(weight, std=(2 * depth * weight.shape[1])**-.5)
        weight[:size] *= .1
    for bias in (block.mlp.c_fc.bias, block.mlp.c_proj.bias):
        nn.init.zeros_(bias)
    block.attn.in_proj_weight[:2 * width] *= .05


def _turn(angles: Tensor) -> Tensor:
    """Return the matrix (2n, 2n) that adds angles (n, ) to those in a code of n sines and n cosines."""
    sine, cosine = angles.sin().diag(), angles.cos().diag()
    return torch.cat([torch.cat([cosine, sine], dim=1), torch.cat([-sine, cosine], dim=1)])


def image_tower(model: nn.Module) -> nn.Module:
    """Return the image tower of a CLIP, for its optimizer."""
    return model.visual

"""Transformer block of timm, divided as :mod:`mmseg_mvp.clip.attention` divides open_clip's."""
import torch
from timm.layers import Attention, AttentionRope, apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

_ATTENTIONS = (Attention, AttentionRope, EvaAttention)


def is_known(block: nn.Module) -> bool:
    """Return True for a block that the functions of this module can divide."""
    attention = getattr(block, 'attn', None)
    return (type(block) in (Block, EvaBlock, EvaBlockPostNorm) and type(attention) in _ATTENTIONS
            and getattr(attention, 'gate', None) is None
            and getattr(attention, 'num_kv_heads', attention.num_heads) == attention.num_heads)


def apply_block(block: nn.Module, x: Tensor, rope: Tensor | None) -> Tensor:
    """Apply a block to tokens (B, N, width); ``rope`` is the rotation of the patches, (h*w, 2*d), or None."""
    return block(x) if rope is None else block(x, rope=rope)


def projection(block: nn.Module, x: Tensor, letter: str, rope: Tensor | None) -> Tensor:
    """Return the queries (``'q'``), keys or values, (B, N, heads, d), of the input (B, N, width) of a block.

    Queries and keys are normalised and rotated as in the block.
    """
    attention = block.attn
    x = x if isinstance(block, EvaBlockPostNorm) else block.norm1(x)
    part = F.linear(x, *_weights(attention, letter))
    part = part.reshape(*part.shape[:-1], attention.num_heads, -1)  # (B, N, heads, d)
    if letter == 'v':
        return part
    part = getattr(attention, f'{letter}_norm')(part)
    return part if rope is None else _rotate(attention, part, rope)


def _weights(attention: nn.Module, letter: str) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of the projection to queries, keys or values."""
    if attention.qkv is None:
        linear = getattr(attention, f'{letter}_proj')
        return linear.weight, linear.bias
    index = 'qkv'.index(letter)
    bias = getattr(attention, f'{letter}_bias', None)  # EvaAttention keeps the biases apart
    if attention.qkv.bias is not None:
        bias = attention.qkv.bias.chunk(3)[index]
    return attention.qkv.weight.chunk(3)[index], bias


def _rotate(attention: nn.Module, part: Tensor, rope: Tensor) -> Tensor:
    """Rotate the patches among queries or keys (B, N, heads, d)."""
    before, half = attention.num_prefix_tokens, dict(half=True) if getattr(attention, 'rotate_half', False) else {}
    patches = apply_rot_embed_cat(part[:, before:].transpose(1, 2), rope, **half).transpose(1, 2)
    return torch.cat([part[:, :before], patches.to(part.dtype)], dim=1)


def attended(block: nn.Module, mixed: Tensor) -> Tensor:
    """Project mixed values (B, N, heads * d) to what the block adds to its input, (B, N, width)."""
    out = block.attn.proj(block.attn.norm(mixed))
    return block.norm1(out) if isinstance(block, EvaBlockPostNorm) else _scale(block, out, 1)


def add_mlp(block: nn.Module, x: Tensor) -> Tensor:
    """Apply the MLP with its residual connection to tokens (B, N, width)."""
    if isinstance(block, EvaBlockPostNorm):
        return x + block.norm2(block.mlp(x))
    return x + _scale(block, block.mlp(block.norm2(x)), 2)


def _scale(block: nn.Module, x: Tensor, number: int) -> Tensor:
    """Apply the layer scale behind the attention (1) or the MLP (2)."""
    if isinstance(block, Block):
        return getattr(block, f'ls{number}')(x)
    gamma = getattr(block, f'gamma_{number}')
    return x if gamma is None else gamma * x


def idle_parameters(block: nn.Module, used: str, residual: bool) -> list[nn.Parameter]:
    """Return the parameters of a block without effect if its attention reads the projections ``used`` alone."""
    names = [f'attn.{letter}_{kind}' for letter in 'qkv' if letter not in used for kind in ('proj', 'bias', 'norm')]
    names += [] if residual else ['norm2', 'mlp', 'ls2', 'gamma_2']
    return [value for name, value in block.named_parameters()
            if any(name == idle or name.startswith(f'{idle}.') for idle in names)]

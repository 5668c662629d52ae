"""Conversion of CLIP's dense ViT to mmseg's ``VisionTransformer``."""
import torch
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from .dense_variants import VIT_VARIANTS
from .image_tower import ViTTower


def vit_config(tower: ViTTower) -> dict:
    """Build the config of mmseg's ``VisionTransformer`` for the weights of a tower, see :func:`fill_vit`.

    Its features times ``visual.proj`` equal the dense features of the tower. The last block becomes two layers with
    zero attention. The MLP of the first layer computes the value path ``out_proj(W_v ln_1(x))``, because
    ``act(x) - act(-x) = x`` for activations ``x s(x)`` with ``s(x) + s(-x) = 1`` (GELU and QuickGELU). The second layer
    holds the MLP of the block.

    Raises:
        UserError: If mmseg's layers cannot represent the tower.
    """
    visual, block = tower.visual, tower.visual.transformer.resblocks[-1]
    width, hidden = visual.transformer.width, block.mlp.c_fc.out_features
    activation = block.mlp.gelu
    known = isinstance(activation, QuickGELU) or isinstance(activation, nn.GELU) and activation.approximate == 'none'
    wrong = (f"the dense variant {tower.variant}, not 'maskclip'" if tower.variant != VIT_VARIANTS['maskclip'] else
             f'the activation {type(activation).__name__}' if not known else
             f'an MLP of {hidden} units on a width of {width}' if hidden % width or hidden < 2 * width else
             'no norm before its blocks' if not isinstance(visual.ln_pre, nn.LayerNorm) else None)
    if wrong:
        raise UserError(f'mmseg\'s VisionTransformer cannot represent this CLIP image tower, because it has {wrong}: '
                        f'export it as ONNX')
    return dict(
        type='VisionTransformer', img_size=tuple(side * tower.stride for side in visual.grid_size),
        patch_size=tower.stride, patch_bias=False, embed_dims=width, num_layers=len(tower.channels) + 1,
        num_heads=block.attn.num_heads, mlp_ratio=hidden // width, norm_cfg=dict(type='LN', eps=block.ln_1.eps),
        act_cfg=dict(type='QuickGELU' if isinstance(activation, QuickGELU) else 'GELU'), pre_norm=True, final_norm=True,
        interpolate_mode='bicubic')


@torch.no_grad()
def fill_vit(stock: nn.Module, tower: ViTTower) -> None:
    """Copy the weights of a tower to a ``VisionTransformer`` of mmseg, built from :func:`vit_config`."""
    visual = tower.visual
    stock.patch_embed.projection.weight.copy_(visual.conv1.weight)
    stock.cls_token.copy_(visual.class_embedding[None, None])
    stock.pos_embed.copy_(visual.positional_embedding[None])
    stock.pre_ln.load_state_dict(visual.ln_pre.state_dict())
    stock.norm1.load_state_dict(visual.ln_post.state_dict())
    *blocks, last = visual.transformer.resblocks
    *layers, value_path, mlp = stock.layers
    for layer, block in zip(layers, blocks, strict=True):
        layer.norm1.load_state_dict(block.ln_1.state_dict())
        layer.attn.attn.load_state_dict(block.attn.state_dict())
        _scale(layer.attn.attn.out_proj, block.ls_1)
        _fill_mlp(layer, block)
    for layer in (value_path, mlp):
        for parameter in layer.attn.parameters():
            parameter.zero_()
    _fill_value_path(value_path, last)
    _fill_mlp(mlp, last)


def _fill_mlp(layer: nn.Module, block: ResidualAttentionBlock) -> None:
    layer.norm2.load_state_dict(block.ln_2.state_dict())
    layer.ffn.layers[0][0].load_state_dict(block.mlp.c_fc.state_dict())
    layer.ffn.layers[1].load_state_dict(block.mlp.c_proj.state_dict())
    _scale(layer.ffn.layers[1], block.ls_2)


def _fill_value_path(layer: nn.Module, block: ResidualAttentionBlock) -> None:
    """Write ``out_proj(W_v ln_1(x))`` as an MLP: ``W_o (act(W_v y) - act(-W_v y))``."""
    first, second, out = layer.ffn.layers[0][0], layer.ffn.layers[1], block.attn.out_proj
    layer.norm2.load_state_dict(block.ln_1.state_dict())
    for target, source in ((first.weight, block.attn.in_proj_weight), (first.bias, block.attn.in_proj_bias)):
        target.copy_(_padded(_with_negative(source.chunk(3)[-1], 0), target.shape))
    second.weight.copy_(_padded(_with_negative(out.weight, 1), second.weight.shape))
    second.bias.copy_(out.bias)
    _scale(second, block.ls_1)


def _with_negative(values: Tensor, dim: int) -> Tensor:
    return torch.cat([values, -values], dim)


def _padded(values: Tensor, shape: torch.Size) -> Tensor:
    """Return a zero tensor of the given shape with ``values`` in its first corner."""
    padded = values.new_zeros(shape)
    padded[tuple(slice(side) for side in values.shape)] = values
    return padded


def _scale(linear: nn.Linear, layer_scale: nn.Module) -> None:
    """Fold open_clip's ``LayerScale``, if present, into the preceding linear layer."""
    gamma = getattr(layer_scale, 'gamma', None)
    if gamma is not None:
        linear.weight.mul_(gamma[:, None])
        linear.bias.mul_(gamma)

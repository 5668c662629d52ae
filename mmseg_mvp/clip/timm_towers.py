"""Dense features of the image towers that open_clip takes from timm.

Each position is pooled as if it were the only one: an attention pool over one position gives its value, an average pool
the position itself. With a class token, the last block is treated as in :class:`~mmseg_mvp.clip.image_tower.ViTTower`.
"""
import inspect
from collections.abc import Sequence

import torch
from open_clip.timm_model import TimmModel
from timm.layers import AttentionPoolLatent, Format, RotaryEmbeddingCat
from timm.models.convnext import ConvNeXt
from timm.models.eva import Eva
from timm.models.fastvit import FastVit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from .attention import on_tokens
from .dense_variants import AVERAGE_POOL, CLASS_TOKEN, LATENT_POOL, DenseVariant, Kind, attend_densely, equal_norms
from .timm_blocks import add_mlp, apply_block, attended, idle_parameters, is_known, projection


class TimmViTTower(nn.Module):
    """Dense features of a ViT of timm with a class token (EVA, EVA02, MobileCLIP-B).

    The last block gives y by the formula of a variant; F is CLIP's projection of the normed y. All tokens are keys and
    values. Queries and keys are rotated as in the tower.

    Args:
        visual (TimmModel): Image tower. It is set to take images of any size: position embeddings are resized,
            rotations computed. The result at its own size does not change.
        variant (DenseVariant): Formula of the last block.

    Attributes:
        stride (int): Pixels per feature along each side (the patch size).
        channels (tuple[int, ...]): Output channels of each block.
        embed_dim (int): Size D of the joint embedding.
    """

    def __init__(self, visual: TimmModel, variant: DenseVariant) -> None:
        super().__init__()
        self.visual = visual
        self.variant = variant
        trunk = visual.trunk
        _take_any_size(trunk)
        self.stride = trunk.patch_embed.feat_ratio()
        self.channels = (trunk.embed_dim, ) * len(trunk.blocks)
        with torch.no_grad():
            self.embed_dim = self._project(_zeros(visual, 1, trunk.embed_dim)).shape[-1]

    def idle_parameters(self, out_indices: Sequence[int] = ()) -> list[nn.Parameter]:
        """Return the parameters without effect on the output; DDP would wait for their gradients."""
        if len(self.channels) - 1 in out_indices:
            return []
        return idle_parameters(self.visual.trunk.blocks[-1], ''.join(('v', *self.variant.pairs)), self.variant.residual)

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Patch tokens of the blocks ``out_indices``, (B, width, H/stride, W/stride), then dense
            features (B, D, H/stride, W/stride).
        """
        outputs, mixed, last_input, grid = self._run(images, out_indices)
        return *outputs, self._to_map(self._finish(mixed, last_input), grid)

    def attended(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract as :meth:`forward`, but with the mixed values (B, C, h, w) in place of the dense features."""
        outputs, mixed, _, grid = self._run(images, out_indices)
        return *outputs, self._to_map(mixed, grid)

    def project(self, attended: Tensor) -> Tensor:
        """Take mixed values (B, C, h, w) of a variant without residual to the joint embedding, (B, D, h, w)."""
        return on_tokens(lambda tokens: self._finish(tokens, None), attended)

    def _run(self, images: Tensor, out_indices: Sequence[int]) -> tuple[list[Tensor], Tensor, Tensor, Sequence[int]]:
        """Return the outputs, the mixed values (B, N, C), the last block's input (B, N, width) and the grid (h, w)."""
        trunk = self.visual.trunk
        x = trunk.patch_embed(images)  # (B, h, w, width)
        grid = x.shape[1:3]
        x = trunk._pos_embed(x)
        x, rope = x if isinstance(x, tuple) else (x, None)
        x = trunk.norm_pre(x)  # (B, N, width)
        outputs, middle, blocks = [], [], list(trunk.blocks)
        for index, block in enumerate(blocks):
            last_input = x
            if index in self.variant.middle:
                middle.append(tuple(projection(block, x, letter, rope) for letter in 'qk'))
            if self._needed(index, out_indices):
                x = apply_block(block, x, rope)
            if index in out_indices:
                outputs.append(self._to_map(x, grid))
        return outputs, self._mix(last_input, x, rope, grid, middle), last_input, grid

    def _needed(self, index: int, out_indices: Sequence[int]) -> bool:
        """Return True if the block's output is used. The last block's output is needed only on request."""
        return index < len(self.channels) - 1 or index in out_indices

    def _mix(self, last_input: Tensor, last_output: Tensor, rope: Tensor | None, grid: Sequence[int],
             middle: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Compute the mixed values (B, N, C) from the input or the output of the last block."""
        trunk, variant = self.visual.trunk, self.variant
        block = trunk.blocks[-1]
        parts = {letter: projection(block, last_input, letter, rope) for letter in {'v', *''.join(variant.pairs)}}
        mixed = parts['v']
        if variant.pairs:
            mixed = attend_densely(variant, parts, mixed, grid, trunk.num_prefix_tokens, middle)
        return mixed.flatten(-2)

    def _finish(self, mixed: Tensor, last_input: Tensor | None) -> Tensor:
        """Take mixed values (B, N, C) to the joint embedding (B, N, D)."""
        trunk = self.visual.trunk
        block, added = trunk.blocks[-1], attended(trunk.blocks[-1], mixed)
        return self._project(trunk.norm(add_mlp(block, last_input + added) if self.variant.residual else added))

    def _project(self, tokens: Tensor) -> Tensor:
        """Project pooled tokens (..., width) to the joint embedding (..., D)."""
        trunk = self.visual.trunk
        return self.visual.head(trunk.head(trunk.head_drop(trunk.fc_norm(tokens))))

    def _to_map(self, tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Reshape tokens (B, N, width) to a map (B, width, h, w), without the tokens before the patches."""
        patches = tokens[:, self.visual.trunk.num_prefix_tokens:]
        return patches.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)


class TimmPoolTower(TimmViTTower):
    """Dense features of a ViT of timm with an attention pool (SigLIP, SigLIP2, PE-Core): ``y + mlp(norm(y))``.

    ``y = proj(W v)`` with the values v of the pool; all blocks stay as they are. The pool's query has no effect. With
    pairs, keys and values get equal norms in the scores, see :func:`equal_norms`.
    """

    def idle_parameters(self, out_indices: Sequence[int] = ()) -> list[nn.Parameter]:
        """Return the parameters without effect on the output; DDP would wait for their gradients."""
        pool = self.visual.trunk.attn_pool
        idle = [pool.q, pool.q_norm, *([] if 'k' in ''.join(self.variant.pairs) else [pool.k_norm])]
        return [pool.latent, *(parameter for part in idle for parameter in part.parameters())]

    def _needed(self, index: int, out_indices: Sequence[int]) -> bool:
        return True

    def _mix(self, last_input: Tensor, last_output: Tensor, rope: Tensor | None, grid: Sequence[int],
             middle: list[tuple[Tensor, Tensor]]) -> Tensor:
        trunk = self.visual.trunk
        pool = trunk.attn_pool
        key, value = pool.kv(trunk.norm(last_output)).chunk(2, dim=-1)  # (B, N, width)
        if not self.variant.pairs:
            return value
        key, value = (part.reshape(*part.shape[:-1], pool.num_heads, -1) for part in (key, value))  # (B, N, heads, d)
        equal = dict(k=equal_norms(pool.k_norm(key)), v=equal_norms(value))
        return attend_densely(self.variant, equal, value, grid, trunk.num_prefix_tokens).flatten(-2)

    def _finish(self, mixed: Tensor, last_input: Tensor | None) -> Tensor:
        pool = self.visual.trunk.attn_pool
        pooled = pool.proj(mixed)
        return self._project(pooled if pool.mlp is None else pooled + pool.mlp(pool.norm(pooled)))


class TimmCellTower(nn.Module):
    """Dense features of a convolutional tower of timm with an average pool (ConvNeXt, FastViT of MobileCLIP-S).

    CLIP's norm and projection apply to each cell of the last feature map.

    Args:
        visual (TimmModel): Image tower.
        variant (DenseVariant): Has no effect, because these towers have one formula.

    Attributes:
        stride (int): Pixels per feature along each side.
        channels (tuple[int, ...]): Output channels of each stage.
        embed_dim (int): Size D of the joint embedding.
    """

    def __init__(self, visual: TimmModel, variant: DenseVariant) -> None:
        super().__init__()
        self.visual = visual
        self.variant = variant
        stages = visual.trunk.feature_info
        self.stride = stages[-1]['reduction']
        self.channels = tuple(stage['num_chs'] for stage in stages)
        with torch.no_grad():
            self.embed_dim = self._project(_zeros(visual, 1, visual.trunk.num_features, 1, 1)).shape[-1]

    def idle_parameters(self, out_indices: Sequence[int] = ()) -> list[nn.Parameter]:
        """Return no parameters, because all have an effect."""
        return []

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Outputs of the stages ``out_indices``, (B, C_i, h_i, w_i), then dense features
            (B, D, H/stride, W/stride).
        """
        trunk, outputs = self.visual.trunk, []
        if out_indices:
            x, outputs = trunk.forward_intermediates(images, indices=list(out_indices))
        else:  # forward_intermediates takes no empty list
            x = trunk.forward_features(images)  # (B, C, h, w)
        cells = x.permute(0, 2, 3, 1).flatten(0, 2)[..., None, None]  # (B*h*w, C, 1, 1)
        dense = self._project(cells).reshape(x.shape[0], *x.shape[2:], self.embed_dim)  # (B, h, w, D)
        return *outputs, dense.permute(0, 3, 1, 2)

    def _project(self, cells: Tensor) -> Tensor:
        """Pool and project maps (N, C, 1, 1) to the joint embedding (N, D)."""
        return self.visual.head(self.visual.trunk.forward_head(cells))


def timm_tower(visual: TimmModel) -> tuple[type[nn.Module], Kind] | None:
    """Return the class of the dense tower of an image tower of timm and its kind; None if it has no such features."""
    trunk = visual.trunk
    if isinstance(trunk, (ConvNeXt, FastVit)):
        return (TimmCellTower, AVERAGE_POOL) if 'pool' not in dict(visual.head.named_children()) else None
    if type(trunk) not in (VisionTransformer, Eva) or type(getattr(trunk, 'rope', None)) not in (
            type(None), RotaryEmbeddingCat):
        return None
    if isinstance(trunk.attn_pool, AttentionPoolLatent) and trunk.attn_pool.pos_embed is None:
        return TimmPoolTower, LATENT_POOL
    if trunk.attn_pool is None and trunk.global_pool == 'token' and all(map(is_known, trunk.blocks)):
        return TimmViTTower, CLASS_TOKEN
    return None


def _take_any_size(trunk: nn.Module) -> None:
    """Set a ViT of timm to what its option ``dynamic_img_size`` builds, which open_clip does not pass on."""
    trunk.dynamic_img_size = True
    trunk.patch_embed.flatten, trunk.patch_embed.output_fmt = False, Format.NHWC
    trunk.patch_embed.strict_img_size = False
    rope = getattr(trunk, 'rope', None)
    if rope is not None and rope.feat_shape is not None:
        known = inspect.signature(RotaryEmbeddingCat).parameters
        settings = {name: getattr(rope, name) for name in known if hasattr(rope, name)}
        trunk.rope = RotaryEmbeddingCat(**dict(settings, feat_shape=None)).to(rope.pos_embed.device)


def _zeros(visual: TimmModel, *shape: int) -> Tensor:
    """Return zeros with the device and dtype of a tower."""
    return next(visual.parameters()).new_zeros(shape)

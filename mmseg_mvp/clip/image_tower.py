"""Dense features from a CLIP image tower: what the pooling would average, before it is averaged.

MaskCLIP (Zhou et al., ECCV 2022, arXiv 2112.01071), section 3.2, and MVP-SEG (arXiv 2304.06957): the query and key of
the last attention are removed, its value and output projections become 1x1 convolutions.
"""
import copy
import math
from collections.abc import Sequence

import torch
from mmcv.cnn import fuse_conv_bn
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError

DENSE_VARIANTS = ('maskclip', 'value')


class ResNetTower(nn.Module):
    """Dense features of CLIP's ModifiedResNet: ``F = c_proj(v_proj(layer4))``.

    Args:
        visual (ModifiedResNet): The image tower, with its attention pool.

    Attributes:
        stride (int): Pixels per feature, along each side.
        channels (tuple[int, ...]): Channels of layer1 to layer4.
        embed_dim (int): Size D of the joint embedding.
    """

    def __init__(self, visual: ModifiedResNet) -> None:
        super().__init__()
        self.visual = visual
        self.channels = tuple(layer[-1].conv3.out_channels for layer in self._layers())
        self.embed_dim = visual.attnpool.c_proj.out_features
        # 4 of the stem, times the anti-aliasing pool of each layer's first block.
        self.stride = 4 * math.prod(getattr(layer[0].avgpool, 'kernel_size', 1) for layer in self._layers())

    def _layers(self) -> tuple[nn.Sequential, ...]:
        return self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4

    def idle_parameters(self) -> list[nn.Parameter]:
        """Parameters that dense features don't depend on, which would keep DDP waiting for a gradient."""
        pool = self.visual.attnpool
        return [pool.positional_embedding, *pool.k_proj.parameters(), *pool.q_proj.parameters()]

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            images (Tensor): Normalised images, (B, 3, H, W), sides multiples of the stride.
            out_indices (Sequence[int]): Layers (0 to 3) whose outputs are wanted as well.

        Returns:
            tuple[Tensor, ...]: The wanted layers' outputs, then the dense features (B, D, H/stride, W/stride).
        """
        x = self.visual.stem(images)
        outputs = []
        for index, layer in enumerate(self._layers()):
            x = layer(x)
            if index in out_indices:
                outputs.append(x)
        pool = self.visual.attnpool
        for projection in (pool.v_proj, pool.c_proj):
            x = F.conv2d(x, projection.weight[:, :, None, None], projection.bias)
        return *outputs, x


class ViTTower(nn.Module):
    """Dense features of CLIP's VisionTransformer: the value path of the last block, for every patch.

    Args:
        visual (VisionTransformer): The image tower.
        variant (str): ``'maskclip'`` keeps the last block's residual and MLP:
            ``v = x + out_proj(W_v ln_1(x)); v = v + mlp(ln_2(v))``. ``'value'`` drops both:
            ``v = out_proj(W_v ln_1(x))``. Then ``F = ln_post(v) @ proj`` in both.

    Attributes:
        stride (int): Pixels per feature, along each side: the patch size.
        channels (tuple[int, ...]): Channels of each block.
        embed_dim (int): Size D of the joint embedding.
    """

    def __init__(self, visual: VisionTransformer, variant: str = 'maskclip') -> None:
        super().__init__()
        self.visual = visual
        self.variant = variant
        self.stride = visual.patch_size[0]
        self.channels = (visual.transformer.width, ) * len(visual.transformer.resblocks)
        self.embed_dim = visual.proj.shape[1]

    def idle_parameters(self) -> list[nn.Parameter]:
        """Parameters that dense features don't depend on, which would keep DDP waiting for a gradient."""
        block = self.visual.transformer.resblocks[-1]
        return [*block.ln_2.parameters(), *block.mlp.parameters()] if self.variant == 'value' else []

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            images (Tensor): Normalised images, (B, 3, H, W), sides multiples of the stride.
            out_indices (Sequence[int]): Blocks whose patch tokens are wanted as well, as (B, width, h, w).

        Returns:
            tuple[Tensor, ...]: The wanted blocks' outputs, then the dense features (B, D, H/stride, W/stride).
        """
        x = self.visual.conv1(images)
        grid = x.shape[2:]
        x = self._embed(x.flatten(2).transpose(1, 2), grid)
        outputs = []
        for index, block in enumerate(self.visual.transformer.resblocks):
            last_input, x = x, self._block(block, x) if self._needed(index, out_indices) else x
            if index in out_indices:
                outputs.append(self._to_map(x, grid))
        dense = self.visual.ln_post(self._dense_block(block, last_input)) @ self.visual.proj
        return *outputs, self._to_map(dense, grid)

    def _needed(self, index: int, out_indices: Sequence[int]) -> bool:
        """Whether a block's own output is used: the last block's only when it is asked for."""
        return index < len(self.channels) - 1 or index in out_indices

    def _embed(self, patches: Tensor, grid: Sequence[int]) -> Tensor:
        visual = self.visual
        class_token = visual.class_embedding.expand(patches.shape[0], 1, -1)
        # Under autocast the sum over the blocks stays in the weights' precision: half the error, at 3 % of the time.
        tokens = torch.cat([class_token, patches.to(class_token.dtype)], dim=1)
        return visual.ln_pre(tokens + self._positions(grid))

    def _positions(self, grid: Sequence[int]) -> Tensor:
        """Position embeddings (1 + h*w, width), resized bicubically to the grid (h, w) of patches."""
        table = self.visual.positional_embedding
        if tuple(grid) == tuple(self.visual.grid_size):
            return table
        maps = table[1:].T.reshape(1, -1, *self.visual.grid_size)
        maps = F.interpolate(maps, size=tuple(grid), mode='bicubic', align_corners=False)
        return torch.cat([table[:1], maps.flatten(2)[0].T])

    def _block(self, block: ResidualAttentionBlock, x: Tensor) -> Tensor:
        """A block of the transformer, (B, N, width) to the same.

        Its attention goes to torch's fused kernel, which never holds the N x N scores: without gradients,
        nn.MultiheadAttention takes a path of its own that does.
        """
        attention = block.attn
        projected = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
        heads = projected.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        value = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        return self._mlp(block, x + block.ls_1(attention.out_proj(value)))

    def _dense_block(self, block: ResidualAttentionBlock, x: Tensor) -> Tensor:
        """The last block without query and key, (B, N, width) to the same."""
        attention = block.attn
        weight, bias = (values.chunk(3)[-1] for values in (attention.in_proj_weight, attention.in_proj_bias))
        value = block.ls_1(attention.out_proj(F.linear(block.ln_1(x), weight, bias)))
        return value if self.variant == 'value' else self._mlp(block, x + value)

    @staticmethod
    def _mlp(block: ResidualAttentionBlock, x: Tensor) -> Tensor:
        return x + block.ls_2(block.mlp(block.ln_2(x)))

    @staticmethod
    def _to_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Patch tokens (B, 1 + h*w, width) as a map (B, width, h, w)."""
        # A reshape, since an ONNX file would keep the traced size of unflatten.
        return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)


def dense_tower(visual: nn.Module, variant: str = 'maskclip', name: str = 'this CLIP') -> ResNetTower | ViTTower:
    """Wrap an image tower so that it gives dense features.

    Args:
        visual (nn.Module): open_clip's ``model.visual``.
        variant (str): ``'maskclip'`` or ``'value'``, see :class:`ViTTower`; the same for a ResNet, which has no
            residual around its pooling.
        name (str): The model's name, for messages.

    Raises:
        UserError: If the variant is unknown, or the tower has no value path to each position.
    """
    if variant not in DENSE_VARIANTS:
        raise UserError(f"There is no dense variant '{variant}': expected one of {', '.join(DENSE_VARIANTS)}.")
    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual)
    if (isinstance(visual, VisionTransformer) and visual.attn_pool is None and visual.pool_type == 'tok'
            and isinstance(visual.transformer.resblocks[-1], ResidualAttentionBlock)):
        return ViTTower(visual, variant)
    raise UserError(f"The image tower of CLIP '{name}' ({type(visual).__name__}) can't give dense features: this works "
                    f'for open_clip towers that pool by attention (RN50, RN101, RN50x4, RN50x16, RN50x64) or by a '
                    f'class token (ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-g-14).')


def fold_batch_norm(tower: ResNetTower | ViTTower) -> ResNetTower | ViTTower:
    """Fold each BatchNorm of a ResNet into the convolution before it, and put the channels last in memory.

    The features are the same up to rounding; training such a tower would train something else.

    Args:
        tower (ResNetTower | ViTTower): In eval mode. It stays as it is.

    Returns:
        ResNetTower | ViTTower: For a ResNet a copy, which has convolutions of its own and shares the attention pool;
        a ViT has no BatchNorm and is returned itself.
    """
    if not isinstance(tower, ResNetTower):
        return tower
    pool = tower.visual.attnpool
    folded = fuse_conv_bn(copy.deepcopy(tower, {id(pool): pool}))
    return folded.to(memory_format=torch.channels_last)

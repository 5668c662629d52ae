"""Dense features from a CLIP image tower: what the pooling would average, before it is averaged.

MaskCLIP (Zhou et al., ECCV 2022, arXiv 2112.01071), section 3.2, and MVP-SEG (arXiv 2304.06957): the query and key of
the last attention are removed, its value and output projections become 1x1 convolutions.
"""
import math
from collections.abc import Sequence

import torch
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
            last_input, x = x, block(x) if self._needed(index, out_indices) else x
            if index in out_indices:
                outputs.append(self._to_map(x, grid))
        dense = self.visual.ln_post(self._value_path(last_input)) @ self.visual.proj
        return *outputs, self._to_map(dense, grid)

    def _needed(self, index: int, out_indices: Sequence[int]) -> bool:
        """Whether a block's own output is used: the last block's only when it is asked for."""
        return index < len(self.channels) - 1 or index in out_indices

    def _embed(self, patches: Tensor, grid: Sequence[int]) -> Tensor:
        visual = self.visual
        class_token = visual.class_embedding.to(patches.dtype).expand(patches.shape[0], 1, -1)
        return visual.ln_pre(torch.cat([class_token, patches], dim=1) + self._positions(grid).to(patches.dtype))

    def _positions(self, grid: Sequence[int]) -> Tensor:
        """Position embeddings (1 + h*w, width), resized bicubically to the grid (h, w) of patches."""
        table = self.visual.positional_embedding
        if tuple(grid) == tuple(self.visual.grid_size):
            return table
        maps = table[1:].T.reshape(1, -1, *self.visual.grid_size)
        maps = F.interpolate(maps, size=tuple(grid), mode='bicubic', align_corners=False)
        return torch.cat([table[:1], maps.flatten(2)[0].T])

    def _value_path(self, x: Tensor) -> Tensor:
        block = self.visual.transformer.resblocks[-1]
        attention = block.attn
        _, _, weight = attention.in_proj_weight.chunk(3)
        _, _, bias = attention.in_proj_bias.chunk(3)
        value = block.ls_1(attention.out_proj(F.linear(block.ln_1(x), weight, bias)))
        if self.variant == 'value':
            return value
        value = x + value
        return value + block.ls_2(block.mlp(block.ln_2(value)))

    @staticmethod
    def _to_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Patch tokens (B, 1 + h*w, width) as a map (B, width, h, w)."""
        return tokens[:, 1:].transpose(1, 2).unflatten(2, tuple(grid))


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

"""Dense features from a CLIP image tower.

The query and key projections of the last attention are removed. The value and output projections become 1x1
convolutions (MaskCLIP, Zhou et al., ECCV 2022, arXiv 2112.01071, section 3.2; MVP-SEG, arXiv 2304.06957).
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

from .attention import add_mlp, apply_block

DENSE_VARIANTS = ('maskclip', 'value')


class ResNetTower(nn.Module):
    """Dense features of CLIP's ModifiedResNet: ``F = c_proj(v_proj(layer4))``.

    Args:
        visual (ModifiedResNet): Image tower with its attention pool.

    Attributes:
        stride (int): Pixels per feature along each side.
        channels (tuple[int, ...]): Output channels of layer1 to layer4.
        embed_dim (int): Size D of the joint embedding.
    """

    def __init__(self, visual: ModifiedResNet) -> None:
        super().__init__()
        self.visual = visual
        self.channels = tuple(layer[-1].conv3.out_channels for layer in self._layers())
        self.embed_dim = visual.attnpool.c_proj.out_features
        # The stem has stride 4; the average pool in the first block of a layer downsamples further.
        self.stride = 4 * math.prod(getattr(layer[0].avgpool, 'kernel_size', 1) for layer in self._layers())

    def _layers(self) -> tuple[nn.Sequential, ...]:
        return self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4

    def idle_parameters(self) -> list[nn.Parameter]:
        """Return the parameters without effect on dense features; DDP would wait for their gradients."""
        pool = self.visual.attnpool
        return [pool.positional_embedding, *pool.k_proj.parameters(), *pool.q_proj.parameters()]

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Outputs of the layers ``out_indices`` (0 to 3), (B, C_i, h_i, w_i), then dense features
            (B, D, H/stride, W/stride).
        """
        x = self.visual.stem(images)  # (B, C, H/4, W/4)
        outputs = []
        for index, layer in enumerate(self._layers()):
            x = layer(x)
            if index in out_indices:
                outputs.append(x)
        pool = self.visual.attnpool
        for projection in (pool.v_proj, pool.c_proj):
            x = F.conv2d(x, projection.weight[:, :, None, None], projection.bias)  # (B, D, h, w) at the end
        return *outputs, x


class ViTTower(nn.Module):
    """Dense features of CLIP's VisionTransformer: the value path of the last block for every patch.

    Args:
        visual (VisionTransformer): Image tower.
        variant (str): ``'maskclip'`` keeps the residual and the MLP of the last block:
            ``v = x + out_proj(W_v ln_1(x)); v = v + mlp(ln_2(v))``. ``'value'`` omits both:
            ``v = out_proj(W_v ln_1(x))``. Both return ``F = ln_post(v) @ proj``.

    Attributes:
        stride (int): Pixels per feature along each side (the patch size).
        channels (tuple[int, ...]): Output channels of each block.
        embed_dim (int): Size D of the joint embedding.
    """

    _block = staticmethod(apply_block)  # a method, so that a benchmark can use the block of open_clip instead

    def __init__(self, visual: VisionTransformer, variant: str = 'maskclip') -> None:
        super().__init__()
        self.visual = visual
        self.variant = variant
        self.stride = visual.patch_size[0]
        self.channels = (visual.transformer.width, ) * len(visual.transformer.resblocks)
        self.embed_dim = visual.proj.shape[1]

    @property
    def projection(self) -> Tensor:
        """Projection of tokens to the joint embedding, (width, D)."""
        return self.visual.proj

    def idle_parameters(self) -> list[nn.Parameter]:
        """Return the parameters without effect on dense features; DDP would wait for their gradients."""
        block = self.visual.transformer.resblocks[-1]
        return [*block.ln_2.parameters(), *block.mlp.parameters()] if self.variant == 'value' else []

    def forward(self, images: Tensor, out_indices: Sequence[int] = ()) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Patch tokens of the blocks ``out_indices``, (B, width, H/stride, W/stride), then dense
            features (B, D, H/stride, W/stride).
        """
        x = self.visual.conv1(images)  # (B, width, h, w)
        grid = x.shape[2:]
        x = self._embed(x.flatten(2).transpose(1, 2), grid)  # (B, 1 + h*w, width)
        outputs = []
        for index, block in enumerate(self.visual.transformer.resblocks):
            last_input, x = x, self._block(block, x) if self._needed(index, out_indices) else x
            if index in out_indices:
                outputs.append(self._to_map(x, grid))
        dense = self.visual.ln_post(self._dense_block(block, last_input)) @ self.visual.proj  # (B, 1 + h*w, D)
        return *outputs, self._to_map(dense, grid)

    def _needed(self, index: int, out_indices: Sequence[int]) -> bool:
        """Return True if the block's output is used. The last block's output is needed only on request."""
        return index < len(self.channels) - 1 or index in out_indices

    def _embed(self, patches: Tensor, grid: Sequence[int]) -> Tensor:
        visual = self.visual
        class_token = visual.class_embedding.expand(patches.shape[0], 1, -1)
        # Under autocast, the residual stream keeps the weights' precision: half the error for 3 % more time.
        tokens = torch.cat([class_token, patches.to(class_token.dtype)], dim=1)
        return visual.ln_pre(tokens + self._positions(grid))

    def _positions(self, grid: Sequence[int]) -> Tensor:
        """Return position embeddings (1 + h*w, width), resized bicubically to the patch grid (h, w)."""
        table = self.visual.positional_embedding
        if tuple(grid) == tuple(self.visual.grid_size):
            return table
        maps = table[1:].T.reshape(1, -1, *self.visual.grid_size)  # (1, width, h0, w0)
        maps = F.interpolate(maps, size=tuple(grid), mode='bicubic', align_corners=False)
        return torch.cat([table[:1], maps.flatten(2)[0].T])

    def _dense_block(self, block: ResidualAttentionBlock, x: Tensor) -> Tensor:
        """Apply the last block without query and key to tokens (B, N, width)."""
        attention = block.attn
        weight, bias = (values.chunk(3)[-1] for values in (attention.in_proj_weight, attention.in_proj_bias))
        value = block.ls_1(attention.out_proj(F.linear(block.ln_1(x), weight, bias)))
        return value if self.variant == 'value' else add_mlp(block, x + value)

    @staticmethod
    def _to_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Reshape tokens (B, 1 + h*w, width) to a map (B, width, h, w), without the class token."""
        # reshape instead of unflatten, because the ONNX export would freeze the traced size.
        return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)


def dense_tower(visual: nn.Module, variant: str = 'maskclip', name: str = 'this CLIP') -> ResNetTower | ViTTower:
    """Wrap ``model.visual`` of open_clip for dense features. The variant has no effect on a ResNet.

    Raises:
        UserError: If the variant is unknown or the architecture is not supported.
    """
    if variant not in DENSE_VARIANTS:
        raise UserError(f"The dense variant '{variant}' is unknown: expected one of {', '.join(DENSE_VARIANTS)}.")
    if isinstance(visual, ModifiedResNet):
        return ResNetTower(visual)
    if (isinstance(visual, VisionTransformer) and visual.attn_pool is None and visual.pool_type == 'tok'
            and isinstance(visual.transformer.resblocks[-1], ResidualAttentionBlock)):
        return ViTTower(visual, variant)
    raise UserError(f"The image tower of CLIP '{name}' ({type(visual).__name__}) can't give dense features: this works "
                    f'for open_clip towers that pool by attention (RN50, RN101, RN50x4, RN50x16, RN50x64) or by a '
                    f'class token (ViT-B-32, ViT-B-16, ViT-L-14, ViT-L-14-336, ViT-H-14, ViT-g-14).')


def fold_batch_norm(tower: ResNetTower | ViTTower) -> ResNetTower | ViTTower:
    """Fold the BatchNorm layers of a ResNet into its convolutions, for inference only.

    The result is a copy with channels-last memory that shares the attention pool. Features stay equal up to rounding. A
    ViT is returned unchanged.
    """
    if not isinstance(tower, ResNetTower):
        return tower
    pool = tower.visual.attnpool
    folded = fuse_conv_bn(copy.deepcopy(tower, {id(pool): pool}))
    return folded.to(memory_format=torch.channels_last)

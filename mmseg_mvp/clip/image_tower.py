"""Dense features of open_clip's own image towers, by a variant of their last attention.

In MaskCLIP, each token reads its own value: the value and output projections become 1x1 convolutions (Zhou et al.,
ECCV 2022, arXiv 2112.01071, section 3.2; MVP-SEG, arXiv 2304.06957). :mod:`mmseg_mvp.clip.dense_variants` lists the
variants.
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

from .attention import add_mlp, apply_block, attend, finish, on_tokens, projections
from .dense_variants import POOL_VARIANTS, VIT_VARIANTS, DenseVariant, attend_densely, equal_norms


class ResNetTower(nn.Module):
    """Dense features of CLIP's ModifiedResNet: ``F = c_proj(W v_proj(layer4))``.

    Position embeddings are omitted. Queries, keys and values get equal norms in the scores, see :func:`equal_norms`.

    Args:
        visual (ModifiedResNet): Image tower with its attention pool.
        variant (DenseVariant): Formula of W without residual or middle blocks. By default, W is the identity.

    Attributes:
        stride (int): Pixels per feature along each side.
        channels (tuple[int, ...]): Output channels of layer1 to layer4.
        embed_dim (int): Size D of the joint embedding.
        key_dim (int): Size K of the keys of the attention pool.
    """

    def __init__(self, visual: ModifiedResNet, variant: DenseVariant = POOL_VARIANTS['maskclip']) -> None:
        super().__init__()
        self.visual = visual
        self.variant = variant
        self._used = {'v', *''.join(variant.pairs)}  # letters of the projections that the formula reads
        self.channels = tuple(layer[-1].conv3.out_channels for layer in self._layers())
        self.embed_dim, self.key_dim = visual.attnpool.c_proj.out_features, visual.attnpool.k_proj.out_features
        # The stem has stride 4; the average pool in the first block of a layer downsamples further.
        self.stride = 4 * math.prod(getattr(layer[0].avgpool, 'kernel_size', 1) for layer in self._layers())

    def _layers(self) -> tuple[nn.Sequential, ...]:
        return self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4

    def idle_parameters(self, out_indices: Sequence[int] = ()) -> list[nn.Parameter]:
        """Return the parameters without effect on the output; DDP would wait for their gradients."""
        idle = [projection for letter, projection in self._projections().items() if letter not in self._used]
        return [self.visual.attnpool.positional_embedding, *(one for part in idle for one in part.parameters())]

    def _projections(self) -> dict[str, nn.Linear]:
        pool = self.visual.attnpool
        return dict(q=pool.q_proj, k=pool.k_proj, v=pool.v_proj)

    def forward(self, images: Tensor, out_indices: Sequence[int] = (), keys: bool = False) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Outputs of the layers ``out_indices`` (0 to 3), (B, C_i, h_i, w_i), with ``keys`` the
            keys of the attention pool without position embeddings, (B, K, H/stride, W/stride), then dense features
            (B, D, H/stride, W/stride).
        """
        *outputs, attended = self.attended(images, out_indices, keys)
        return *outputs, self.project(attended)

    def attended(self, images: Tensor, out_indices: Sequence[int] = (), keys: bool = False) -> tuple[Tensor, ...]:
        """Extract as :meth:`forward`, but with the mixed values (B, C, h, w) in place of the dense features."""
        x = self.visual.stem(images)  # (B, C, H/4, W/4)
        outputs = []
        for index, layer in enumerate(self._layers()):
            x = layer(x)
            if index in out_indices:
                outputs.append(x)
        if keys:
            outputs.append(_conv1x1(x, self.visual.attnpool.k_proj))
        return *outputs, self._attend(x) if self.variant.pairs else _conv1x1(x, self.visual.attnpool.v_proj)

    def project(self, attended: Tensor) -> Tensor:
        """Project mixed values (B, C, h, w) to the joint embedding, (B, D, h, w)."""
        return _conv1x1(attended, self.visual.attnpool.c_proj)

    def _attend(self, x: Tensor) -> Tensor:
        """Apply the variant's attention to cells (B, C, h, w): mixed values (B, C, h, w)."""
        tokens, heads = x.flatten(2).transpose(1, 2), self.visual.attnpool.num_heads  # (B, h*w, C)
        parts = {letter: projection(tokens).unflatten(-1, (heads, -1))  # (B, h*w, heads, d)
                 for letter, projection in self._projections().items() if letter in self._used}
        equal = {letter: equal_norms(part) for letter, part in parts.items()}
        attended = attend_densely(self.variant, equal, parts['v'], x.shape[2:], class_tokens=0)
        return attended.flatten(2).transpose(1, 2).reshape(x.shape)


class ViTTower(nn.Module):
    """Dense features of CLIP's VisionTransformer: ``F = ln_post(y) @ proj`` of the patches.

    The last block gives y, by the formula of a variant. All tokens, the class token included, are its keys and values.

    Args:
        visual (VisionTransformer): Image tower.
        variant (DenseVariant): Formula of the last block.

    Attributes:
        stride (int): Pixels per feature along each side (the patch size).
        channels (tuple[int, ...]): Output channels of each block.
        embed_dim (int): Size D of the joint embedding.
        key_dim (int): Size K of the keys of the last block, all heads.
    """

    _block = staticmethod(apply_block)  # a method, so that a benchmark can use the block of open_clip instead

    def __init__(self, visual: VisionTransformer, variant: DenseVariant = VIT_VARIANTS['maskclip']) -> None:
        super().__init__()
        self.visual = visual
        self.variant = variant
        self.stride = visual.patch_size[0]
        self.channels = (visual.transformer.width, ) * len(visual.transformer.resblocks)
        self.embed_dim, self.key_dim = visual.proj.shape[1], visual.transformer.width

    @property
    def projection(self) -> Tensor:
        """Projection of tokens to the joint embedding, (width, D)."""
        return self.visual.proj

    def idle_parameters(self, out_indices: Sequence[int] = ()) -> list[nn.Parameter]:
        """Return the parameters without effect on the output; DDP would wait for their gradients."""
        block = self.visual.transformer.resblocks[-1]
        if self.variant.residual or len(self.channels) - 1 in out_indices:
            return []
        return [parameter for part in (block.ln_2, block.mlp, block.ls_2) for parameter in part.parameters()]

    def forward(self, images: Tensor, out_indices: Sequence[int] = (), keys: bool = False) -> tuple[Tensor, ...]:
        """Extract features of normalised images, (B, 3, H, W), with H and W multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Patch tokens of the blocks ``out_indices``, (B, width, H/stride, W/stride), with
            ``keys`` the keys of the last block, (B, K, H/stride, W/stride), then dense features
            (B, D, H/stride, W/stride).
        """
        *outputs, attended = self.attended(images, out_indices, keys)
        return *outputs, self.project(attended)

    def attended(self, images: Tensor, out_indices: Sequence[int] = (), keys: bool = False) -> tuple[Tensor, ...]:
        """Extract as :meth:`forward`, but with y, (B, width, h, w), in place of the dense features."""
        x = self.visual.conv1(images)  # (B, width, h, w)
        grid = x.shape[2:]
        x = self._embed(x.flatten(2).transpose(1, 2), grid)  # (B, 1 + h*w, width)
        outputs, middle = [], []
        for index, block in enumerate(self.visual.transformer.resblocks):
            last_input = x
            if index in self.variant.middle:
                query, key, value = projections(block, x)
                middle.append((query, key))
                x = finish(block, x, attend(query, key, value))
            elif self._needed(index, out_indices):
                x = self._block(block, x)
            if index in out_indices:
                outputs.append(self._to_map(x, grid))
        if keys:
            outputs.append(self._to_map(_project(block, last_input, 'k'), grid))
        return *outputs, self._to_map(self._dense_block(block, last_input, grid, middle), grid)

    def project(self, attended: Tensor) -> Tensor:
        """Project y, (B, width, h, w), to the joint embedding, (B, D, h, w)."""
        return on_tokens(lambda tokens: self.visual.ln_post(tokens) @ self.visual.proj, attended)

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

    def _dense_block(self, block: ResidualAttentionBlock, x: Tensor, grid: Sequence[int],
                     middle: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Apply the variant of the last block to tokens (B, N, width); ``middle`` as in :func:`attend_densely`."""
        if self.variant.pairs:
            parts = dict(zip('qkv', projections(block, x)))
            mixed = attend_densely(self.variant, parts, parts['v'], grid, middle=middle).flatten(-2)
        else:
            mixed = _project(block, x, 'v')
        attended = block.ls_1(block.attn.out_proj(mixed))
        return add_mlp(block, x + attended) if self.variant.residual else attended

    @staticmethod
    def _to_map(tokens: Tensor, grid: Sequence[int]) -> Tensor:
        """Reshape tokens (B, 1 + h*w, width) to a map (B, width, h, w), without the class token."""
        # reshape instead of unflatten, because the ONNX export would freeze the traced size.
        return tokens[:, 1:].transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)


def _project(block: ResidualAttentionBlock, x: Tensor, letter: str) -> Tensor:
    """Return the ``q``, ``k`` or ``v`` of all heads, (B, N, width), of the input (B, N, width) of a block."""
    weight, bias = (values.chunk(3)['qkv'.index(letter)] for values in (block.attn.in_proj_weight,
                                                                        block.attn.in_proj_bias))
    return F.linear(block.ln_1(x), weight, bias)


def _conv1x1(x: Tensor, linear: nn.Linear) -> Tensor:
    """Apply a linear layer to the channels of a map (B, C, h, w)."""
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)


def fold_batch_norm(tower: nn.Module) -> nn.Module:
    """Fold the BatchNorm layers of a ResNet into its convolutions, for inference only.

    The result is a copy with channels-last memory that shares the attention pool. Features stay equal up to rounding.
    Other towers are returned unchanged.
    """
    if not isinstance(tower.visual, ModifiedResNet):
        return tower
    pool = tower.visual.attnpool
    folded = fuse_conv_bn(copy.deepcopy(tower, {id(pool): pool}))
    return folded.to(memory_format=torch.channels_last)


def embed_images(tower: nn.Module, images: Tensor) -> Tensor:
    """Compute CLIP's own embeddings (B, D) of normalised images (B, 3, H, W), resized to the square of its training."""
    visual = tower.visual
    return visual(F.interpolate(images, size=visual.image_size, mode='bicubic', antialias=True))

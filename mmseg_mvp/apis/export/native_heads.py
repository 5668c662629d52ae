"""Conversion of heads with a text classifier to mmseg's own heads, whose last layer is a 1x1 convolution.

Products ``<f, t>`` are a 1x1 convolution. Cosines ``<f / |f|, t>`` are a 1x1 convolution after a norm over channels:
``[f, -f]`` has mean 0 and variance ``|f|^2 / D``, so mmseg's ``LayerNorm2d`` returns ``sqrt(D) [f, -f] / |f|``. A head
that has no place for this norm computes ``<f, t>`` instead. At each feature, the ranking of the classes is the same,
but the scores differ.
"""
import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_mvp.errors import UserError
from mmseg_mvp.models.decode_heads import DeepLabV2Head, LSegHead, MultiPromptTextHead, TextHeadMixin
from mmseg_mvp.models.text import TextLayer

TEXT_KEYS = {'clip', 'train_classes', 'test_classes', 'prompts', 'synonyms', 'temperature', 'learn_temperature',
             'learn_background', 'regularization', 'loss_decode', 'init_cfg', 'sampler'}
CHANNEL_NORM = dict(type='mmseg.models.utils.LayerNorm2d', eps=1e-12)


def head_config(head: BaseDecodeHead, own: dict, embedding: Tensor | None) -> dict:
    """Return the config of the native head, mmseg's own, that replaces a head.

    Args:
        head (BaseDecodeHead): Head with a text classifier.
        own (dict): Config of this head.
        embedding (Tensor, optional): Projection of the native backbone's features to the input of the head,
            (D, width); None if they are equal.

    Returns:
        dict: Config of a head, filled by :func:`fill_head` after building.

    Raises:
        UserError: If mmseg has no equivalent head.
    """
    classes = dict(num_classes=len(head.classifier.vocabulary), align_corners=head.align_corners)
    if isinstance(head, MultiPromptTextHead):
        return dict(_cosine_config(head, embedding), **classes)
    if not isinstance(head, TextHeadMixin):
        raise _no_head(head, 'only MultiPromptTextHead and heads of TextHeadMixin can be converted')
    if not isinstance(head.conv_seg.regularization, nn.Identity):
        raise _no_head(head, 'no head of mmseg has a SpatialRegularization')
    kept = {key: value for key, value in own.items() if key not in TEXT_KEYS}
    if isinstance(head, LSegHead):
        return dict(_lseg_config(head, own), **classes)
    if isinstance(head, DeepLabV2Head):
        return dict(kept, type='ASPPHead', dilations=head.branches.dilations, **classes)
    native = next(base for base in type(head).__mro__
                 if not issubclass(base, TextHeadMixin) and not base.__module__.startswith('mmseg_mvp'))
    return dict(kept, type=native.__name__, **classes)


@torch.no_grad()
def fill_head(native: BaseDecodeHead, head: BaseDecodeHead, embedding: Tensor | None) -> None:
    """Copy the parameters of a head and the embeddings of its classes to the native head.

    Args:
        native (BaseDecodeHead): Head built from :func:`head_config`.
        head (BaseDecodeHead): Head with a text classifier.
        embedding (Tensor, optional): As in :func:`head_config`.

    Raises:
        UserError: If the parameters or layers of the native head do not match.
    """
    if isinstance(head, MultiPromptTextHead):
        return _fill_cosine(native, head, embedding)
    weight, bias = _products(head.conv_seg)
    if isinstance(head, LSegHead):
        weight, bias = _fill_lseg(native, head, weight, bias)
    elif isinstance(head, DeepLabV2Head):
        _fill_sum(native, head)
    else:
        _load(native, head)
    _fill_conv_seg(native, weight, bias)


def is_exact(head: BaseDecodeHead) -> bool:
    """True if the exported head reproduces the logits; False if it omits feature normalisation."""
    return isinstance(head, MultiPromptTextHead) or head.conv_seg.log_scale is None


def _no_head(head: BaseDecodeHead, reason: str) -> UserError:
    return UserError(f'{type(head).__name__} has no equivalent in mmseg, because {reason}: export it as ONNX')


def _products(layer: TextLayer) -> tuple[Tensor, Tensor]:
    """Convert a text layer, without its norm, to a 1x1 convolution: weight (C, channels) and bias (C,)."""
    weights = layer.weights()[0]  # (1, S, D) -> (S, D)
    if layer.log_scale is not None:
        weights = F.normalize(weights, dim=1) * layer.log_scale.exp()
    if isinstance(layer.projection, nn.Identity):
        return weights, weights.new_zeros(len(weights))
    return weights @ layer.projection.weight[:, :, 0, 0], weights @ layer.projection.bias


def _fill_conv_seg(native: BaseDecodeHead, weight: Tensor, bias: Tensor) -> None:
    """Set ``conv_seg`` to weight (C, n) and bias (C,); channels beyond n get zero weights."""
    native.conv_seg.weight.zero_()
    native.conv_seg.weight[:, :weight.shape[1], 0, 0] = weight
    native.conv_seg.bias.copy_(bias)


def _load(native: BaseDecodeHead, head: BaseDecodeHead, *filled: str) -> None:
    """Copy all parameters except ``conv_seg`` and those of the prefixes ``filled``, which the caller sets."""
    own = {name: value for name, value in head.state_dict().items() if not name.startswith('conv_seg.')}
    missing, unexpected = native.load_state_dict(own, strict=False)
    wrong = [*unexpected, *(name for name in missing if not name.startswith(('conv_seg.', *filled)))]
    if wrong:
        raise _no_head(head, f'{type(native).__name__} has other parameters, such as {wrong[0]}')


def _pass_through(module: ConvModule, matrix: Tensor, bias: Tensor) -> None:
    """Set a convolution, with or without norm, to ``relu(matrix x + bias)``: matrix (n, C_in), bias (n,).

    Output channels beyond n are zero.
    """
    middle = module.kernel_size[0] // 2
    module.conv.weight.zero_()
    module.conv.weight[:len(matrix), :, middle, middle] = matrix
    shift = module.conv.bias
    if module.with_norm:
        norm, shift = module.norm, module.norm.bias
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)
        norm.weight.fill_(1)
    shift.zero_()
    shift[:len(bias)] = bias


def _check_relu(native: BaseDecodeHead, module: ConvModule, head: BaseDecodeHead) -> None:
    norm = module.norm if module.with_norm else None
    if not isinstance(module.activate, nn.ReLU) or not isinstance(norm, _BatchNorm | None):
        raise _no_head(head, f'{type(native).__name__} must have ReLU and BatchNorm or no norm for that')


def _fill_sum(native: BaseDecodeHead, head: DeepLabV2Head) -> None:
    """Set ASPP's bottleneck to DeepLabV2's sum of branches: weight 0 for the image pool, 1 for each branch.

    The ReLU of each branch is part of both heads, so the branches are not negative.
    """
    _check_relu(native, native.bottleneck, head)
    native.aspp_modules.load_state_dict(head.branches.state_dict())
    for parameter in native.image_pool.parameters():
        parameter.zero_()
    identity = torch.eye(head.channels)
    matrix = torch.cat([torch.zeros_like(identity), *[identity] * len(head.branches)], dim=1)
    _pass_through(native.bottleneck, matrix, torch.zeros(head.channels))


def _lseg_config(head: LSegHead, own: dict) -> dict:
    """Return the config of DPT's head. Its last convolution ends in a ReLU; scores pass as ``relu(s) - relu(-s)``."""
    count = len(head.classifier.vocabulary)
    if head.readout_type is None or head.reassemble_blocks.patch_size != 16:
        raise _no_head(head, 'DPTHead takes maps of a ViT with patches of 16 pixels only')
    if 2 * count > head.channels:
        raise _no_head(head, f'DPTHead\'s {head.channels} channels carry {head.channels // 2} classes at most and '
                             f'there are {count}')
    return dict(type='DPTHead', embed_dims=head.in_channels[0], post_process_channels=head.post_process_channels,
                readout_type=head.readout_type, channels=head.channels, in_channels=head.in_channels,
                in_index=head.in_index, input_transform='multiple_select', dropout_ratio=0.,
                norm_cfg=own.get('norm_cfg', dict(type='BN')))


def _fill_lseg(native: BaseDecodeHead, head: LSegHead, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Set DPT's last convolution to compute the scores; return the remaining classifier, (C, 2C) and (C,)."""
    _check_relu(native, native.project, head)
    _load(native, head, 'project.')
    _pass_through(native.project, torch.cat([weight, -weight]), torch.cat([bias, -bias]))
    identity = torch.eye(len(weight))
    return torch.cat([identity, -identity], dim=1), torch.zeros_like(bias)


def _cosine_config(head: MultiPromptTextHead, embedding: Tensor | None) -> dict:
    size = head.classifier.embed_dim
    return dict(type='FCNHead', in_channels=head.in_channels if embedding is None else embedding.shape[1],
                in_index=head.in_index if embedding is None else -1, channels=2 * size, num_convs=1,
                kernel_size=1, act_cfg=None, dropout_ratio=0., norm_cfg=CHANNEL_NORM,
                concat_input=not isinstance(head.projection, nn.Identity))


def _fill_cosine(native: BaseDecodeHead, head: MultiPromptTextHead, embedding: Tensor | None) -> None:
    """Set FCNHead to ``logit_scale sum_i cos(P x + b, t_i)``, by mmseg's norm over channels (see above)."""
    size, projection = head.classifier.embed_dim, head.projection
    linear = torch.eye(size) if isinstance(projection, nn.Identity) else projection.weight[:, :, 0, 0]
    linear = linear if embedding is None else linear @ embedding
    layer = native.conv_cat if native.concat_input else native.convs[0]
    layer.conv.weight.zero_()
    layer.conv.weight[:, :linear.shape[1], 0, 0] = torch.cat([linear, -linear])
    if native.concat_input:
        # A convolution before a norm has no bias. The other convolution has zero weights and outputs a constant 1.
        native.convs[0].conv.weight.zero_()
        native.convs[0].norm.bias[0] = 1
        layer.conv.weight[:, linear.shape[1], 0, 0] = torch.cat([projection.bias, -projection.bias])
    weights = head.logit_scale * head.class_weights()[0] / (2 * size**0.5)
    _fill_conv_seg(native, torch.cat([weights, -weights], dim=1), weights.new_zeros(len(weights)))

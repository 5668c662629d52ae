"""Decode head of LSeg: DPT decoder and cosines with text embeddings."""
from collections.abc import Sequence

from mmseg.models.decode_heads import DPTHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from .low_res_loss import LowResLossMixin
from .text_heads import TextHeadMixin

STRIDES = (4, 8, 16, 32)
READOUTS = ('project', 'add', 'ignore', None)


class Pyramid(nn.ModuleList):
    """Resize layers for the maps of a pyramid backbone, in place of DPT's reassembly."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Resize maps (B, C_i, h_i, w_i) to strides 4, 8, 16 and 32."""
        return [layer(one) for layer, one in zip(self, maps, strict=True)]


@MODELS.register_module()
class LSegHead(TextHeadMixin, LowResLossMixin, DPTHead):
    """Dense embeddings of stride 2 from DPT's decoder, scored by cosines with text (LSeg, arXiv 2201.03546).

    Four backbone maps are resized to strides 4, 8, 16 and 32 and fused from coarse to fine. A 1x1 convolution projects
    the result to CLIP's embedding, ``logits = cos / temperature``, and an optional spatial regularization follows. The
    loss and the segmentor resize the logits at the end.

    Differences to mmseg's ``DPTHead``: no 3x3 convolution after the fusion, other patch sizes, pyramids of
    convolutional networks, no dropout by default.

    Args:
        in_channels (int | Sequence[int]): Channels of the backbone maps; an int if all are equal.
        readout_type (str, optional): Use of a ViT's class token: ``'project'`` (LSeg), ``'add'``, or ``'ignore'``, also
            for backbones without class tokens. None is for pyramids, such as a ResNet's.
        patch_size (int): Side of a ViT patch in pixels: 4, 8, 16 or 32.
        strides (Sequence[int]): Strides of the maps of a pyramid. Maps with strides 4, 8, 16 and 32 are used unchanged
            (LSeg). Learned convolutions resize others, such as a dilated ResNet's.
        post_process_channels (Sequence[int], optional): Channels of the four maps before fusion; None takes
            ``in_channels``.
        channels (int): Channels of the fusion.
        temperature (float): Divisor of the cosines, fixed unless ``learn_temperature=True``.
        align_corners (bool): As in ``torch.nn.functional.interpolate``; True as in LSeg.
        dropout_ratio (float): As in mmseg.
        norm_cfg (dict): Config of the norm in the fusion.
        prompts (dict): Config of the prompts, see :class:`TextHeadMixin`.
        in_index (Sequence[int]): Indices of the four backbone maps.
        **kwargs: Arguments of :class:`TextHeadMixin` (``clip`` and ``train_classes`` are required) and of mmseg's head.

    Raises:
        UserError: If the readout is unknown, a stride or the patch size is not 4, 8, 16 or 32, or there are not four
            maps.
    """

    def __init__(self, in_channels: int | Sequence[int], readout_type: str | None = 'project', patch_size: int = 16,
                 strides: Sequence[int] = STRIDES, post_process_channels: Sequence[int] | None = None,
                 channels: int = 256, temperature: float = 0.07, align_corners: bool = True, dropout_ratio: float = 0.,
                 norm_cfg: dict = dict(type='BN'), prompts: dict = dict(type='TemplatePrompts', templates='name'),
                 in_index: Sequence[int] = (0, 1, 2, 3), **kwargs) -> None:
        in_channels = list(in_channels) if isinstance(in_channels, Sequence) else [in_channels] * 4
        if readout_type is not None:
            strides = [patch_size] * 4
        strides = list(strides) if isinstance(strides, Sequence) else [strides]
        _check(readout_type, strides, in_channels)
        super().__init__(
            embed_dims=in_channels[0], readout_type=readout_type or 'ignore', patch_size=patch_size, channels=channels,
            post_process_channels=list(post_process_channels or in_channels), in_channels=in_channels,
            in_index=list(in_index), input_transform='multiple_select', temperature=temperature,
            align_corners=align_corners, dropout_ratio=dropout_ratio, norm_cfg=norm_cfg, prompts=prompts, **kwargs)
        self.project = nn.Identity()  # the text layer has LSeg's 1x1 convolution
        self.readout_type = readout_type
        layers = [_resize_layer(source / target, width)
                  for source, target, width in zip(strides, STRIDES, self.post_process_channels)]
        if readout_type is None:
            self.reassemble_blocks = Pyramid(layers)
        else:
            self.reassemble_blocks.resize_layers = nn.ModuleList(layers)

    def _transform_inputs(self, inputs: Sequence) -> list:
        """Select four maps (B, C_i, h_i, w_i). Those of a ViT become (map, class token) pairs for DPT.

        Raises:
            UserError: If the readout needs class tokens, but the backbone has no class tokens.
        """
        maps = super()._transform_inputs(inputs)
        if self.readout_type is None:
            return maps
        if self.readout_type != 'ignore' and isinstance(maps[0], Tensor):
            raise UserError(f"LSegHead.readout_type is '{self.readout_type}', but the backbone returns no class "
                            f"tokens: set backbone.output_cls_token=True, or readout_type='ignore', or None for a "
                            f'pyramid.')
        return [(one, None) if isinstance(one, Tensor) else one for one in maps]


def _resize_layer(factor: float, channels: int) -> nn.Module:
    """Create a layer that resizes maps (B, channels, h, w) by ``factor``, a power of 2."""
    if factor == 1:
        return nn.Identity()
    if factor > 1:
        return nn.ConvTranspose2d(channels, channels, int(factor), int(factor))
    return nn.Conv2d(channels, channels, 3, int(1 / factor), padding=1)


def _check(readout_type: str | None, strides: list[int], in_channels: list[int]) -> None:
    if readout_type not in READOUTS:
        raise UserError(f"LSegHead.readout_type is {readout_type!r}: expected 'project', 'add', 'ignore', or None for "
                        f'a pyramid.')
    if len(strides) != 4 or any(stride not in STRIDES for stride in strides):
        key = 'strides' if readout_type is None else 'patch_size'
        raise UserError(f"LSegHead's maps have the strides {strides} (its {key}): expected four of "
                        f'{", ".join(map(str, STRIDES))}.')
    for width in in_channels:
        check_number('A width of LSegHead.in_channels', width, least=1, whole=True)
    if len(in_channels) != 4 or readout_type is not None and len(set(in_channels)) > 1:
        raise UserError(f'LSegHead.in_channels is {in_channels}: expected those of four maps, all the same for a ViT.')

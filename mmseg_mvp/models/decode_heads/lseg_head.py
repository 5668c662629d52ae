"""LSeg's decode head: DPT's decoder, then cosines with text embeddings."""
from collections.abc import Sequence

from mmseg.models.decode_heads import DPTHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_mvp.checking import check_number
from mmseg_mvp.errors import UserError

from .low_res_loss import LowResLossMixin
from .text_heads import TextHeadMixin

STRIDES = (4, 8, 16, 32)
READOUTS = ('project', 'add', 'ignore', None)


class Pyramid(nn.ModuleList):
    """What stands in the place of DPT's reassembly where the backbone gives a pyramid: one layer a map."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Bring maps (B, C_i, h_i, w_i) to strides 4, 8, 16 and 32."""
        return [layer(one) for layer, one in zip(self, maps, strict=True)]


@MODELS.register_module()
class LSegHead(TextHeadMixin, LowResLossMixin, DPTHead):
    """Dense embeddings of stride 2 from DPT's decoder, scored by cosines with text (LSeg, arXiv 2201.03546).

    Four maps of the backbone are brought to strides 4, 8, 16 and 32 and fused from coarse to fine; a 1x1 convolution
    takes the result to CLIP's embedding, ``logits = cos / temperature``, and a spatial regularization may follow. The
    loss and the segmentor resize the logits, which comes last. Differences to mmseg's ``DPTHead``: no 3x3 convolution
    after the fusion, patches of other sizes, pyramids of convolutional networks, no dropout.

    Args:
        in_channels (int | Sequence[int]): Channels of the backbone's maps; one number where they are all the same.
        readout_type (str, optional): What becomes of a ViT's class token: ``'project'`` (LSeg), ``'add'``, or
            ``'ignore'`` where the backbone gives none. None says that the maps are a pyramid, as a ResNet's.
        patch_size (int): Side of a ViT's patches in pixels: 4, 8, 16 or 32.
        strides (Sequence[int]): Strides of a pyramid's maps. Those that are 4, 8, 16 and 32 already are taken as they
            are (LSeg); others, such as a dilated ResNet's, are brought there by learned convolutions.
        post_process_channels (Sequence[int], optional): Channels of the four maps before they are fused; None takes
            ``in_channels``.
        channels (int): Channels of the fusion.
        temperature (float): Divides the cosines; fixed unless ``learn_temperature=True``.
        align_corners (bool): As in ``torch.nn.functional.interpolate``; LSeg's is True.
        dropout_ratio (float): As in mmseg.
        norm_cfg (dict): Norm in the fusion.
        **kwargs: Those of :class:`TextHeadMixin` (``clip`` and ``train_classes`` are needed) and of mmseg's head.

    Raises:
        UserError: If there is no such readout, the patch is not of such a size, or there are not four maps.
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
        self.project = nn.Identity()  # LSeg's 1x1 convolution is the projection of the text layer
        self.readout_type = readout_type
        layers = [_resize_layer(source / target, width)
                  for source, target, width in zip(strides, STRIDES, self.post_process_channels)]
        if readout_type is None:
            self.reassemble_blocks = Pyramid(layers)
        else:
            self.reassemble_blocks.resize_layers = nn.ModuleList(layers)

    def _transform_inputs(self, inputs: Sequence) -> list:
        """The four maps; those of a ViT with their class tokens, as DPT's reassembly wants them."""
        maps = super()._transform_inputs(inputs)
        if self.readout_type is None:
            return maps
        if self.readout_type != 'ignore' and isinstance(maps[0], Tensor):
            raise UserError(f"LSegHead.readout_type is '{self.readout_type}', but the backbone gives no class tokens: "
                            f"set backbone.output_cls_token=True, or readout_type='ignore', or None for a pyramid.")
        return [(one, None) if isinstance(one, Tensor) else one for one in maps]


def _resize_layer(factor: float, channels: int) -> nn.Module:
    """Brings a map (B, channels, h, w) to ``factor`` times its size; 2 ** -k to 2 ** k."""
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

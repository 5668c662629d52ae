"""Decode head of DeepLabV2; mmseg's ASPPHead is the head of DeepLabV3."""
from collections.abc import Sequence

from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class DeepLabV2Head(BaseDecodeHead):
    """Sum of dilated 3x3 convolutions (DeepLabV2, Chen et al., arXiv 1606.00915), in the form of MaskCLIP+.

    Each branch is a convolution with norm and activation. One classifier follows their sum.

    Args:
        dilations (Sequence[int]): Dilation of each branch; 1 gives a 1x1 convolution, as in mmseg's ASPP.
        **kwargs: Arguments of mmseg's ``BaseDecodeHead``.
    """

    def __init__(self, dilations: Sequence[int] = (6, 12, 18, 24), **kwargs) -> None:
        super().__init__(**kwargs)
        self.branches = ASPPModule(dilations, self.in_channels, self.channels, self.conv_cfg, self.norm_cfg,
                                   self.act_cfg)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute logits (B, C, h, w) of backbone features, (B, C_in, h, w) each."""
        return self.cls_seg(sum(self.branches(self._transform_inputs(inputs))))

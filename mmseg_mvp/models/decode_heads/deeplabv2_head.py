"""DeepLabV2's decode head, which mmseg lacks (its ASPPHead is DeepLabV3's)."""
from collections.abc import Sequence

from mmseg.models.decode_heads.aspp_head import ASPPModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class DeepLabV2Head(BaseDecodeHead):
    """Sum of dilated 3x3 convolutions (DeepLabV2, Chen et al., arXiv 1606.00915), as MaskCLIP+ has it.

    Each branch is a convolution with norm and activation; one classifier stands behind their sum.

    Args:
        dilations (Sequence[int]): Dilation of each branch; 1 makes it a 1x1 convolution, as in mmseg's ASPP.
        **kwargs: As in mmseg's ``BaseDecodeHead``.
    """

    def __init__(self, dilations: Sequence[int] = (6, 12, 18, 24), **kwargs) -> None:
        super().__init__(**kwargs)
        self.branches = ASPPModule(dilations, self.in_channels, self.channels, self.conv_cfg, self.norm_cfg,
                                   self.act_cfg)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Logits at feature resolution.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.

        Returns:
            Tensor: (B, C, h, w).
        """
        return self.cls_seg(sum(self.branches(self._transform_inputs(inputs))))

"""mmseg decode heads with Global Prompt Refining of MVP-SEG (arXiv 2304.06957), without CLIP."""
from mmseg.models.decode_heads import DepthwiseSeparableASPPHead, FCNHead, LightHamHead, SegformerHead, UPerHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor
from torch.nn import functional as F

from ..losses.refined_seg_loss import label_histogram


class GPRHeadMixin:
    """Mixin that refines the logits of a decode head by the presence of each class.

    GPR pools the head's own logits, in place of the global prompt's class map in MVP-SEG. Refined logits are
    ``logits + log g``. A presence loss trains ``g``. GPR sees whole images with ``test_cfg.mode='whole'`` and single
    windows with ``'slide'``.

    ``class GPRMyHead(GPRHeadMixin, MyHead)`` applies it to a custom head.

    Args:
        gpr (dict): Config of ``GPR``. Its defaults differ from the class defaults, because logits are not cosines.
        loss_presence (dict): Config of ``PresenceLoss``.
        **kwargs: Arguments of the head.
    """

    def __init__(self, gpr: dict = dict(type='GPR', gamma=1., temperature=1.),
                 loss_presence: dict = dict(type='PresenceLoss'), **kwargs) -> None:
        super().__init__(**kwargs)
        self.gpr, self.loss_presence = MODELS.build(gpr), MODELS.build(loss_presence)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Compute refined logits (B, C, h, w) of backbone features, (B, C_in, h, w) each."""
        logits = super().forward(inputs)
        return logits + self.gpr(logits)[:, :, None, None]

    def loss(self, inputs: tuple[Tensor, ...], batch_data_samples: SampleList, train_cfg: dict | None = None) -> dict:
        """Compute the head's losses on refined logits, the presence loss and GPR's temperature for the log, scalars ().

        Backbone features are (B, C_in, h, w) each, and ``gt_sem_seg`` of each sample is (1, H, W).

        Raises:
            UserError: If a label is out of range.
        """
        logits = super().forward(inputs)
        presence = self.gpr.logits(logits)  # (B, C)
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)  # (B, H, W)
        present = label_histogram(label, logits.shape[1], self.ignore_index) > 0
        losses = self.loss_by_feat(logits + F.logsigmoid(presence)[:, :, None, None], batch_data_samples)
        losses[self.loss_presence.loss_name] = self.loss_presence(presence, present)
        losses['temperature'] = self.gpr.temperature.detach()
        return losses


@MODELS.register_module()
class GPRDeepLabV3PlusHead(GPRHeadMixin, DepthwiseSeparableASPPHead):
    """``DepthwiseSeparableASPPHead`` of mmseg with GPR."""


@MODELS.register_module()
class GPRFCNHead(GPRHeadMixin, FCNHead):
    """``FCNHead`` of mmseg with GPR."""


@MODELS.register_module()
class GPRLightHamHead(GPRHeadMixin, LightHamHead):
    """``LightHamHead`` of mmseg (SegNeXt) with GPR."""


@MODELS.register_module()
class GPRSegformerHead(GPRHeadMixin, SegformerHead):
    """``SegformerHead`` of mmseg with GPR."""


@MODELS.register_module()
class GPRUPerHead(GPRHeadMixin, UPerHead):
    """``UPerHead`` of mmseg with GPR."""

"""mmseg's decode heads with MVP-SEG's Global Prompt Refining (arXiv 2304.06957), without CLIP."""
from mmseg.models.decode_heads import DepthwiseSeparableASPPHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor
from torch.nn import functional as F

from ..losses.refined_seg_loss import label_histogram


class GPRHeadMixin:
    """Has a decode head of mmseg judge which classes are in the image, and keep the others down.

    The head's own logits are the class map that :class:`GPR` pools (MVP-SEG has one of its global prompt): the refined
    logits are ``logits + log g``, and a presence loss teaches ``g``. GPR sees what the head sees: whole images under
    ``test_cfg.mode='whole'``, windows under ``'slide'``.

    ``class GPRMyHead(GPRHeadMixin, MyHead)`` is all that a head of one's own needs.

    Args:
        gpr (dict): Config of ``GPR``. Logits are no cosines, so the defaults differ from its own.
        loss_presence (dict): Config of ``PresenceLoss``.
        **kwargs: Those of the head.
    """

    def __init__(self, gpr: dict = dict(type='GPR', gamma=1., tau=1.), loss_presence: dict = dict(type='PresenceLoss'),
                 **kwargs) -> None:
        super().__init__(**kwargs)
        self.gpr, self.loss_presence = MODELS.build(gpr), MODELS.build(loss_presence)

    def forward(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Refined logits at feature resolution.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.

        Returns:
            Tensor: (B, C, h, w).
        """
        logits = super().forward(inputs)
        return logits + self.gpr(logits)[:, :, None, None]

    def loss(self, inputs: tuple[Tensor, ...], batch_data_samples: SampleList, train_cfg: dict | None = None) -> dict:
        """Losses of the head on its refined logits, and the presence loss.

        Args:
            inputs (tuple[Tensor, ...]): Features of the backbone, (B, C_in, h, w) each.
            batch_data_samples (list[SegDataSample]): Ground truth, ``gt_sem_seg`` (1, H, W) each.
            train_cfg (dict, optional): Not used.

        Returns:
            dict[str, Tensor]: Scalars (), with ``tau_2`` for the log.

        Raises:
            UserError: If a label is neither a class nor ignored.
        """
        logits = super().forward(inputs)
        presence = self.gpr.logits(logits)
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        present = label_histogram(label, logits.shape[1], self.ignore_index) > 0
        losses = self.loss_by_feat(logits + F.logsigmoid(presence)[:, :, None, None], batch_data_samples)
        losses[self.loss_presence.loss_name] = self.loss_presence(presence, present)
        losses['tau_2'] = self.gpr.tau.detach()
        return losses


@MODELS.register_module()
class GPRDeepLabV3PlusHead(GPRHeadMixin, DepthwiseSeparableASPPHead):
    """mmseg's ``DepthwiseSeparableASPPHead`` with GPR."""

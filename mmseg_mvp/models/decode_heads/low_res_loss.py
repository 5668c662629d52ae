"""Losses of mmseg's heads from logits at feature resolution."""
import torch
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from ..losses.refined_seg_loss import RefinedSegLoss
from ..segmentors.label_map import label_map
from ..utils.bands import resize_matrices


class LowResLossMixin:
    """Has a head of mmseg hand its logits to ``RefinedSegLoss`` as they are, instead of resizing them first.

    ``class LowResFCNHead(LowResLossMixin, FCNHead)`` gives the losses of ``FCNHead``, and ``acc_seg``, without the
    C x H x W map. ``loss_decode`` is one or several ``RefinedSegLoss``.

    Raises:
        UserError: If another loss or a sampler is set: they need the logits at full size.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        others = [type(loss).__name__ for loss in self._losses() if not isinstance(loss, RefinedSegLoss)]
        if others or self.sampler is not None:
            found = ', '.join(others) or type(self.sampler).__name__
            raise UserError(f'{type(self).__name__} hands over low-resolution logits, which {found} can\'t take: use '
                            f'RefinedSegLoss and no sampler, or the head without LowResLossMixin.')

    def _losses(self) -> list[nn.Module]:
        return list(self.loss_decode) if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict:
        """Losses and pixel accuracy, as in mmseg's ``BaseDecodeHead``.

        Args:
            seg_logits (Tensor): Logits at feature resolution, (B, C, h, w).
            batch_data_samples (list[SegDataSample]): Ground truth, ``gt_sem_seg`` (1, H, W) each.

        Returns:
            dict[str, Tensor]: Scalars ().
        """
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)
        losses = {}
        for loss_decode in self._losses():
            loss = loss_decode(seg_logits, label, ignore_index=self.ignore_index, align_corners=self.align_corners)
            losses[loss_decode.loss_name] = losses.get(loss_decode.loss_name, 0) + loss
        losses['acc_seg'] = self._accuracy(seg_logits.detach(), label)
        return losses

    def _accuracy(self, logits: Tensor, label: Tensor) -> Tensor:
        """Percentage of the labelled pixels that are right, ()."""
        matrices = resize_matrices(logits, label.shape[1:], self.align_corners)
        right = torch.stack([label_map(maps, *matrices) for maps in logits]) == label
        labelled = label != self.ignore_index
        return 100. * (right & labelled).sum() / labelled.sum().clamp(min=1)

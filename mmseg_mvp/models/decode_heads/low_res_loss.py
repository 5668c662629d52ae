"""Losses of mmseg heads from logits at feature resolution."""
import torch
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_mvp.errors import UserError

from ..losses.refined_seg_loss import RefinedSegLoss
from ..utils.label_map import label_map
from ..utils.tiled_resize import resize_matrices


class LowResLossMixin:
    """Mixin that passes the logits of an mmseg head to ``RefinedSegLoss`` without resizing.

    ``class LowResFCNHead(LowResLossMixin, FCNHead)`` has the losses and ``acc_seg`` of ``FCNHead``, without the
    (C, H, W) map. ``loss_decode`` is one or several ``RefinedSegLoss``.

    Raises:
        UserError: If another loss or a sampler is set; they need logits at full size.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        others = [type(loss).__name__ for loss in self._losses() if not isinstance(loss, RefinedSegLoss)]
        if others or self.sampler is not None:
            found = ', '.join(others) or type(self.sampler).__name__
            raise UserError(f'{type(self).__name__} passes low-resolution logits, but {found} needs full-size '
                            f'logits: use RefinedSegLoss without a sampler, or the head without LowResLossMixin.')

    def _losses(self) -> list[nn.Module]:
        return list(self.loss_decode) if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict:
        """Compute losses and ``acc_seg`` in percent, scalars (), as in mmseg's ``BaseDecodeHead``.

        ``seg_logits`` are at feature resolution, (B, C, h, w), and ``gt_sem_seg`` of each sample is (1, H, W).
        """
        label = self._stack_batch_gt(batch_data_samples).squeeze(1)  # (B, 1, H, W) -> (B, H, W)
        losses = {}
        for loss_decode in self._losses():
            loss = loss_decode(seg_logits, label, ignore_index=self.ignore_index, align_corners=self.align_corners)
            losses[loss_decode.loss_name] = losses.get(loss_decode.loss_name, 0) + loss
        losses['acc_seg'] = self._accuracy(seg_logits.detach(), label)
        return losses

    def _accuracy(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the percentage of correct labelled pixels, ()."""
        matrices = resize_matrices(logits, label.shape[1:], self.align_corners)
        right = torch.stack([label_map(maps, *matrices) for maps in logits]) == label  # (B, H, W)
        labelled = label != self.ignore_index
        return 100. * (right & labelled).sum() / labelled.sum().clamp(min=1)

"""Losses of mmseg heads from logits at feature resolution."""
import torch
from mmengine.logging import print_log
from mmseg.utils import SampleList
from torch import Tensor, nn

from ..losses.refined_seg_loss import RefinedSegLoss
from ..utils.label_map import label_map
from ..utils.tiled_resize import resize_matrices


class LowResLossMixin:
    """Mixin that passes the logits of an mmseg head to ``RefinedSegLoss`` without resizing.

    ``class LowResFCNHead(LowResLossMixin, FCNHead)`` has the losses and ``acc_seg`` of ``FCNHead``, without the
    (C, H, W) map. ``loss_decode`` is one or several ``RefinedSegLoss``. Another loss or a sampler needs logits at full
    size: they get them as in mmseg, and the log says so.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        others = [type(loss).__name__ for loss in self._losses() if not isinstance(loss, RefinedSegLoss)]
        others += [] if self.sampler is None else [type(self.sampler).__name__]
        self._at_full_size = bool(others)
        if others:
            print_log(f'{type(self).__name__} computes logits at full size for {", ".join(others)}: '
                      f"loss_decode=dict(_delete_=True, type='RefinedSegLoss') without a sampler needs less memory.",
                      'current')

    def _losses(self) -> list[nn.Module]:
        return list(self.loss_decode) if isinstance(self.loss_decode, nn.ModuleList) else [self.loss_decode]

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict:
        """Compute losses and ``acc_seg`` in percent, scalars (), as in mmseg's ``BaseDecodeHead``.

        ``seg_logits`` are at feature resolution, (B, C, h, w), and ``gt_sem_seg`` of each sample is (1, H, W).
        """
        if self._at_full_size:
            return super().loss_by_feat(seg_logits, batch_data_samples)
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

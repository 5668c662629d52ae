"""Segmentation loss on GPR-refined masks of MVP-SEG (arXiv 2304.06957), in log space."""
import torch
from mmengine.model import BaseModule
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F


@MODELS.register_module()
class RefinedSegLoss(BaseModule):
    """``L_seg = - mean over labelled pixels of log m``, with ``m^c = softmax_c(logits) * g_c``.

    The paper sums over pixels; the mean keeps the loss independent of the crop. In log space
    ``log m = log_softmax(logits) + log g``, and since ``log g`` is constant over an image, its part of the mean needs
    only the number of labelled pixels of each class. Without ``log g`` it is the plain cross-entropy over labelled
    pixels.

    Args:
        loss_weight (float): Factor of the loss.
        loss_name (str): Name in the log; it must contain ``loss`` to count.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_seg') -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, label: Tensor, log_presence: Tensor | None = None, ignore_index: int = 255,
                align_corners: bool = False) -> Tensor:
        """Compute the loss.

        Args:
            logits (Tensor): Class logits at feature resolution, (B, C, h, w); resized to the label map.
            label (Tensor): Class of each pixel, (B, H, W), integers.
            log_presence (Tensor, optional): ``log g`` of each class, (B, C).
            ignore_index (int): Label of pixels that don't count.
            align_corners (bool): As in ``torch.nn.functional.interpolate``.

        Returns:
            Tensor: A scalar (); 0 if no pixel is labelled.
        """
        logits = resize(logits, size=label.shape[1:], mode='bilinear', align_corners=align_corners)
        loss = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction='sum')
        counts = label_histogram(label, logits.shape[1], ignore_index).to(logits)
        if log_presence is not None:
            loss = loss - (counts * log_presence).sum()
        return self.loss_weight * loss / counts.sum().clamp(min=1)


def label_histogram(label: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Labelled pixels of each class in each image.

    Args:
        label (Tensor): Class of each pixel, (B, H, W), integers below ``num_classes`` or ``ignore_index``.
        num_classes (int): Number of classes C.
        ignore_index (int): Label of pixels that don't count.

    Returns:
        Tensor: Counts, (B, C), int64.
    """
    return torch.stack([one[one != ignore_index].bincount(minlength=num_classes) for one in label])

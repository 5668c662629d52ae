"""Segmentation loss on GPR-refined masks of MVP-SEG (arXiv 2304.06957), in log space."""
import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from mmseg.models.losses.utils import get_class_weight
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_mvp.checking import check_number, check_tensor
from mmseg_mvp.errors import UserError

from .banded_cross_entropy import banded_cross_entropy
from .names import check_loss


@MODELS.register_module()
class RefinedSegLoss(BaseModule):
    """``L_seg = - mean over labelled pixels of log m``, with ``m^c = softmax_c(logits) * g_c``.

    The paper sums over pixels; the mean keeps the loss independent of the crop. In log space
    ``log m = log_softmax(logits) + log g``, and since ``log g`` is constant over an image, its part of the mean needs
    only the number of labelled pixels of each class. Without ``log g`` it is mmseg's ``CrossEntropyLoss``.

    It takes logits at feature resolution and never holds them at the label's, so that memory does not grow with
    C x H x W. Heads of mmseg hand over low-resolution logits with :class:`LowResLossMixin`.

    Several processes divide by the mean of their divisors, so that what DistributedDataParallel makes of their losses,
    the mean, is that over the pixels of the whole batch, however unevenly they are labelled. All of them have to
    compute the loss, which with DistributedDataParallel they do anyway.

    Args:
        class_weight (list[float] | str, optional): Weight of each class, or a ``.npy`` or ``.json`` file of them; the
            mean is then over the weights of the labelled pixels.
        avg_non_ignore (bool): False divides by all pixels, as mmseg does by default, unless there are class weights.
        loss_weight (float): Factor of the loss.
        loss_name (str): Name in the log; it must contain ``loss`` to count.

    Raises:
        UserError: If the class weights can't be read or are no numbers of at least 0, or the weight or the name of the
            loss can't be one. A file of weights ends in .npy or .json; mmseg would take pickles and YAML, which may
            run code.
    """

    def __init__(self, class_weight: list[float] | str | None = None, avg_non_ignore: bool = True,
                 loss_weight: float = 1.0, loss_name: str = 'loss_seg') -> None:
        super().__init__()
        check_loss('RefinedSegLoss', loss_weight, loss_name)
        self.class_weight = _read_class_weight(class_weight)
        self.avg_non_ignore = avg_non_ignore
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, seg_logit: Tensor, seg_label: Tensor, weight: Tensor | None = None, ignore_index: int = 255,
                log_presence: Tensor | None = None, align_corners: bool = False,
                histogram: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            seg_logit (Tensor): Class logits, (B, C, h, w); resized to the label map, whatever their size.
            seg_label (Tensor): Class of each pixel, (B, H, W), int64.
            weight (Tensor, optional): Weight of each pixel, (B, H, W); as in mmseg, the divisor does not count it.
            ignore_index (int): Label of pixels that don't count.
            log_presence (Tensor, optional): ``log g`` of each class, (B, C).
            align_corners (bool): As in ``torch.nn.functional.interpolate``.
            histogram (Tensor, optional): ``label_histogram`` of the labels, (B, C), from a head that has it.

        Returns:
            Tensor: A scalar (); 0 if no pixel is labelled.

        Raises:
            UserError: If the shapes don't fit, a label is no class, or the class weights are not C.
        """
        _check_shapes(seg_logit, seg_label, weight)
        seg_label = seg_label.long()  # uint8 would be a mask where it indexes
        num_classes = seg_logit.shape[1]
        if histogram is None:
            histogram = label_histogram(seg_label, num_classes, ignore_index)
        _check_per_class(seg_logit, log_presence=log_presence, histogram=histogram)
        class_weight = self._class_weights(seg_logit)
        pixel_weight = class_weight[seg_label.clamp(0, num_classes - 1)] * (seg_label != ignore_index)
        if weight is not None:
            pixel_weight = pixel_weight * weight
        loss = banded_cross_entropy(seg_logit, seg_label, pixel_weight, align_corners)
        if log_presence is not None:
            counts = histogram if weight is None else label_histogram(seg_label, num_classes, ignore_index, weight)
            # What is not in the labels does not count, be its presence 0.
            log_presence = log_presence.where(counts > 0, log_presence.new_zeros(()))
            loss = loss - (counts * class_weight * log_presence).sum()
        if self.class_weight is None and not self.avg_non_ignore:
            return self.loss_weight * loss / seg_label.numel()
        divisor = (histogram * class_weight).sum()
        all_reduce(divisor, 'mean')
        return self.loss_weight * loss / divisor.clamp(min=torch.finfo(divisor.dtype).tiny)

    def _class_weights(self, logits: Tensor) -> Tensor:
        """Weight of each class (C,), in the precision of the loss."""
        num_classes = logits.shape[1]
        dtype = torch.promote_types(logits.dtype, torch.float32)
        if self.class_weight is None:
            return logits.new_ones(num_classes, dtype=dtype)
        if len(self.class_weight) != num_classes:
            raise UserError(f'RefinedSegLoss.class_weight has {len(self.class_weight)} entries, but the logits have '
                            f'{num_classes} classes: give one weight per class.')
        return torch.as_tensor(self.class_weight, dtype=dtype, device=logits.device)


def label_histogram(label: Tensor, num_classes: int, ignore_index: int = 255, weight: Tensor | None = None) -> Tensor:
    """Labelled pixels of each class in each image.

    Args:
        label (Tensor): Class of each pixel, (B, H, W), integers below ``num_classes`` or ``ignore_index``.
        num_classes (int): Number of classes C.
        ignore_index (int): Label of pixels that don't count.
        weight (Tensor, optional): What each pixel counts, (B, H, W); 1 by default.

    Returns:
        Tensor: Counts, (B, C), int64, or the dtype of the weights.

    Raises:
        UserError: If a label is neither a class nor ignored.
    """
    label = label.long()
    labelled = label != ignore_index
    outside = labelled & ((label < 0) | (label >= num_classes))
    if outside.any():
        raise UserError(f'The labels hold {int(label[outside][0])}, but there are {num_classes} classes (0 to '
                        f'{num_classes - 1}, {ignore_index} is ignored): mend the labels or the number of classes.')
    bins = label.where(labelled, num_classes)
    bins = bins + (num_classes + 1) * torch.arange(len(label), device=label.device)[:, None, None]
    counts = bins.flatten().bincount(None if weight is None else weight.flatten(), len(label) * (num_classes + 1))
    return counts.view(len(label), num_classes + 1)[:, :num_classes]


def _check_shapes(logits: Tensor, label: Tensor, weight: Tensor | None) -> None:
    check_tensor('RefinedSegLoss', logits, 'B, C, h, w')
    if not isinstance(label, Tensor) or label.is_floating_point() or label.is_complex():
        found = f'labels of type {label.dtype}' if isinstance(label, Tensor) else f'a {type(label).__name__} as labels'
        raise UserError(f'RefinedSegLoss got {found}: expected integers (B, H, W).')
    if label.dim() != 3 or len(logits) != len(label) or 0 in label.shape[1:]:
        raise UserError(f'RefinedSegLoss got logits {tuple(logits.shape)} and labels {tuple(label.shape)}, but expects '
                        f'(B, C, h, w) and (B, H, W) with the same B.')
    if weight is not None and weight.shape != label.shape:
        raise UserError(f'RefinedSegLoss got pixel weights {tuple(weight.shape)} for labels {tuple(label.shape)}: give '
                        f'one weight per pixel.')


def _check_per_class(logits: Tensor, **values: Tensor | None) -> None:
    """Refuse what has not one value an image and class of the logits (B, C, h, w)."""
    for name, value in values.items():
        if value is not None and value.shape != logits.shape[:2]:
            raise UserError(f'RefinedSegLoss got {name} {tuple(value.shape)} for logits {tuple(logits.shape)}: give a '
                            f'value for each image and class.')


def _read_class_weight(class_weight: list[float] | str | None) -> list[float] | None:
    """Class weights as mmseg reads them, each a number."""
    if isinstance(class_weight, str) and not class_weight.endswith(('.npy', '.json')):
        raise UserError(f'RefinedSegLoss.class_weight is the file {class_weight!r}, but it must end in .npy or .json: '
                        f'write the weights as a JSON list, or into the config.')
    try:
        weights = get_class_weight(class_weight)
    except Exception as error:  # each file format has exceptions of its own
        raise UserError(f'RefinedSegLoss.class_weight {class_weight!r} can\'t be read ({type(error).__name__}): give a '
                        f'list of numbers, or a .npy or .json file of one.') from error
    if weights is None:
        return None
    if not isinstance(weights, (list, tuple, np.ndarray)) or not len(weights):
        raise UserError(f'RefinedSegLoss.class_weight is {weights!r}: expected a list with a number for each class.')
    for index, weight in enumerate(weights):
        check_number(f'RefinedSegLoss.class_weight[{index}]', weight, least=0)
    return weights

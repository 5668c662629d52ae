"""Segmentation loss on GPR-refined masks of MVP-SEG (arXiv 2304.06957), in log space."""
import numpy as np
import torch
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from mmseg.models.losses.utils import get_class_weight
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number, check_tensor

from .checks import check_loss
from .tiled_cross_entropy import tiled_cross_entropy


@MODELS.register_module()
class RefinedSegLoss(BaseModule):
    """Segmentation loss ``L_seg = - mean over labelled pixels of log m``, ``m^c = softmax_c(logits) * g_c``.

    The paper sums over pixels; the mean is independent of the crop size. In log space,
    ``log m = log_softmax(logits) + log g``. Since ``log g`` is constant over an image, its part needs only the number
    of labelled pixels of each class. Without ``log g``, the loss equals mmseg's ``CrossEntropyLoss``.

    The loss takes logits at feature resolution and never stores them at label resolution, so memory does not grow with
    C x H x W. mmseg heads pass low-resolution logits with :class:`LowResLossMixin`.

    With several processes, the divisor is averaged over processes. Since DistributedDataParallel averages gradients,
    the result is the mean over all pixels of the whole batch. Every process must compute the loss.

    Args:
        class_weight (list[float] | str, optional): Weight of each class, or a ``.npy`` or ``.json`` file with weights.
            The divisor is then the sum of the class weights over labelled pixels.
        avg_non_ignore (bool): If False and ``class_weight`` is None, divide by all pixels, as mmseg does by default.
        loss_weight (float): Factor of the loss.
        loss_name (str): Name in the log, which must contain ``loss``.

    Raises:
        UserError: If the class weights cannot be read or are not numbers of at least 0, or the weight or the name of
            the loss is not valid. Pickles and YAML are refused, because they can execute code.
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
            seg_logit (Tensor): Class logits of any size, (B, C, h, w); resized to the label map.
            seg_label (Tensor): Class of each pixel, (B, H, W), any integer type.
            weight (Tensor, optional): Weight of each pixel, (B, H, W). As in mmseg, the divisor ignores it.
            ignore_index (int): Label of ignored pixels.
            log_presence (Tensor, optional): ``log g`` of each class, (B, C).
            align_corners (bool): As in ``torch.nn.functional.interpolate``.
            histogram (Tensor, optional): Result of ``label_histogram``, (B, C), if already computed.

        Returns:
            Tensor: Scalar (); 0 without labelled pixels.

        Raises:
            UserError: If shapes do not match, a label is out of range, or the number of class weights is not C.
        """
        _check_shapes(seg_logit, seg_label, weight)
        seg_label = seg_label.long()  # uint8 would index as a mask
        num_classes = seg_logit.shape[1]
        if histogram is None:
            histogram = label_histogram(seg_label, num_classes, ignore_index)
        _check_per_class(seg_logit, log_presence=log_presence, histogram=histogram)
        class_weight = self._class_weights(seg_logit)
        pixel_weight = class_weight[seg_label.clamp(0, num_classes - 1)] * (seg_label != ignore_index)  # (B, H, W)
        if weight is not None:
            pixel_weight = pixel_weight * weight
        loss = tiled_cross_entropy(seg_logit, seg_label, pixel_weight, align_corners)
        if log_presence is not None:
            counts = histogram if weight is None else label_histogram(seg_label, num_classes, ignore_index, weight)
            # Avoid 0 * -inf for classes without labelled pixels.
            log_presence = log_presence.where(counts > 0, log_presence.new_zeros(()))
            loss = loss - (counts * class_weight * log_presence).sum()
        if self.class_weight is None and not self.avg_non_ignore:
            return self.loss_weight * loss / seg_label.numel()
        divisor = (histogram * class_weight).sum()
        all_reduce(divisor, 'mean')
        return self.loss_weight * loss / divisor.clamp(min=torch.finfo(divisor.dtype).tiny)

    def _class_weights(self, logits: Tensor) -> Tensor:
        """Return the weight of each class, (C,), in the precision of the loss."""
        num_classes = logits.shape[1]
        dtype = torch.promote_types(logits.dtype, torch.float32)
        if self.class_weight is None:
            return logits.new_ones(num_classes, dtype=dtype)
        if len(self.class_weight) != num_classes:
            raise UserError(f'RefinedSegLoss.class_weight has {len(self.class_weight)} entries, but the logits have '
                            f'{num_classes} classes: give one weight per class.')
        return torch.as_tensor(self.class_weight, dtype=dtype, device=logits.device)


def label_histogram(label: Tensor, num_classes: int, ignore_index: int = 255, weight: Tensor | None = None) -> Tensor:
    """Count the labelled pixels of each class in each image: (B, C), int64 or the dtype of ``weight``.

    Args:
        label (Tensor): Class of each pixel, (B, H, W), integers.
        num_classes (int): Number of classes C.
        ignore_index (int): Label of ignored pixels.
        weight (Tensor, optional): Weight of each pixel, (B, H, W); 1 by default.

    Raises:
        UserError: If a label is out of range.
    """
    label = label.long()
    labelled = label != ignore_index
    outside = labelled & ((label < 0) | (label >= num_classes))
    if outside.any():
        raise UserError(f'The labels hold {int(label[outside][0])}, but there are {num_classes} classes (0 to '
                        f'{num_classes - 1}, {ignore_index} is ignored): correct the labels or the number of classes.')
    bins = label.where(labelled, num_classes)
    bins = bins + (num_classes + 1) * torch.arange(len(label), device=label.device)[:, None, None]  # (B, H, W)
    counts = bins.flatten().bincount(None if weight is None else weight.flatten(), len(label) * (num_classes + 1))
    return counts.view(len(label), num_classes + 1)[:, :num_classes]  # (B * (C+1),) -> (B, C)


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
    """Raise UserError unless each value has the shape (B, C) of the logits (B, C, h, w)."""
    for name, value in values.items():
        if value is not None and value.shape != logits.shape[:2]:
            raise UserError(f'RefinedSegLoss got {name} {tuple(value.shape)} for logits {tuple(logits.shape)}: give a '
                            f'value for each image and class.')


def _read_class_weight(class_weight: list[float] | str | None) -> list[float] | None:
    """Read class weights like mmseg, and raise UserError unless each is a number of at least 0."""
    if isinstance(class_weight, str) and not class_weight.endswith(('.npy', '.json')):
        raise UserError(f'RefinedSegLoss.class_weight is the file {class_weight!r}, but it must end in .npy or .json: '
                        f'write the weights as a JSON list, or into the config.')
    try:
        weights = get_class_weight(class_weight)
    except Exception as error:  # each file format raises its own exceptions
        raise UserError(f'RefinedSegLoss.class_weight {class_weight!r} can\'t be read ({type(error).__name__}): give a '
                        f'list of numbers, or a .npy or .json file of one.') from error
    if weights is None:
        return None
    if not isinstance(weights, (list, tuple, np.ndarray)) or not len(weights):
        raise UserError(f'RefinedSegLoss.class_weight is {weights!r}: expected a list with a number for each class.')
    for index, weight in enumerate(weights):
        check_number(f'RefinedSegLoss.class_weight[{index}]', weight, least=0)
    return weights

from .banded_cross_entropy import banded_cross_entropy
from .oc_loss import OCLoss
from .presence_loss import PresenceLoss
from .refined_seg_loss import RefinedSegLoss

__all__ = ['OCLoss', 'PresenceLoss', 'RefinedSegLoss', 'banded_cross_entropy']

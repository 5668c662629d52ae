from .oc_loss import OCLoss
from .presence_loss import PresenceLoss
from .refined_seg_loss import RefinedSegLoss

__all__ = ['OCLoss', 'PresenceLoss', 'RefinedSegLoss']

"""The label that a model ignores."""
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn

from mmseg_mvp.labels import IGNORE


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the segmentor inside wrappers for several processes or test time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def ignored_label(model: nn.Module) -> int:
    """Return ``ignore_index`` of a segmentor's last decode head; 255 without one."""
    head = getattr(unwrapped(model), 'decode_head', None)
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return getattr(head, 'ignore_index', IGNORE)

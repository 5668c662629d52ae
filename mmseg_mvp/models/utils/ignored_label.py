"""The label that a model ignores."""
from torch import nn

from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.wrappers import unwrapped


def ignored_label(model: nn.Module) -> int:
    """Return ``ignore_index`` of a segmentor's last decode head; 255 without one."""
    head = getattr(unwrapped(model), 'decode_head', None)
    head = head[-1] if isinstance(head, nn.ModuleList) else head
    return getattr(head, 'ignore_index', IGNORE)

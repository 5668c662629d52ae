"""A module that training can't reach."""
import copy

from torch import nn


class Frozen(nn.Module):
    """Holds a module in eval mode, out of sight of the model that uses it.

    The held module moves with the model (``to``, ``cuda``, ``half``), but it is no part of ``parameters()``,
    ``state_dict()`` or ``train()``: no optimizer state, no gradient buffers, no BatchNorm update, no place in a
    checkpoint. Gradients still pass through it to its inputs.

    Towers are shared by all models of a process, so a model that moves to another device or precision moves a copy.

    Args:
        module (nn.Module): The module to hold. Its parameters stop requiring gradients.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # Written past nn.Module.__setattr__, which would register it as a child.
        self.__dict__['module'] = module.eval().requires_grad_(False)

    def _apply(self, fn, recurse: bool = True) -> 'Frozen':
        super()._apply(fn, recurse)
        probe = next(self.module.parameters())
        moved = fn(probe.data)
        if (moved.device, moved.dtype) != (probe.device, probe.dtype):
            self.__dict__['module'] = copy.deepcopy(self.module)._apply(fn)
        return self

    def __deepcopy__(self, memo: dict) -> 'Frozen':
        return Frozen(self.module)  # what never changes needs no second copy (an EMA deep-copies its model)

    def forward(self, *args, **kwargs):
        """Call the held module."""
        return self.module(*args, **kwargs)

    def extra_repr(self) -> str:
        """Show what is held, since it is not among the children."""
        return type(self.module).__name__

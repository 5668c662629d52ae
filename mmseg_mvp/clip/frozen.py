"""Container for a module that is excluded from training."""
import copy

from torch import nn


class Frozen(nn.Module):
    """Container for a frozen module in eval mode, not registered in the parent model.

    The module moves with the parent (``to``, ``cuda``, ``half``), but is excluded from ``parameters()``,
    ``state_dict()`` and ``train()``. It therefore has no optimizer state and no BatchNorm updates, and checkpoints omit
    it. Gradients still flow through it to its inputs.

    Models in one process share the module, so a change of device or dtype copies it.

    Args:
        module (nn.Module): Module to hold. Its parameters stop requiring gradients.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # nn.Module.__setattr__ would register the module as a child.
        self.__dict__['module'] = module.eval().requires_grad_(False)

    def _apply(self, fn, recurse: bool = True) -> 'Frozen':
        super()._apply(fn, recurse)
        probe = next(self.module.parameters())
        moved = fn(probe.data)
        if (moved.device, moved.dtype) != (probe.device, probe.dtype):
            self.__dict__['module'] = copy.deepcopy(self.module)._apply(fn)
        return self

    def __deepcopy__(self, memo: dict) -> 'Frozen':
        return Frozen(self.module)  # an EMA deep-copies its model; frozen weights can be shared

    def forward(self, *args, **kwargs):
        """Call the held module."""
        return self.module(*args, **kwargs)

    def extra_repr(self) -> str:
        """Return the class name of the held module, which is not a registered child."""
        return type(self.module).__name__


def unwrap(module: nn.Module) -> nn.Module:
    """Return the module in a :class:`Frozen`; other modules are returned unchanged."""
    return module.module if isinstance(module, Frozen) else module

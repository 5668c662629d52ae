"""Wrapper for distributed tests of a model without trainable parameters."""
from mmseg.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module(name=['NoSyncModelWrapper', 'SoloModelWrapper'])  # the second name is the former one
class NoSyncModelWrapper(nn.Module):
    """No-op model wrapper for distributed tests of a model without trainable parameters.

    mmengine wraps the model of every distributed run, but DistributedDataParallel rejects models without trainable
    parameters, such as MaskCLIP. Tests exchange metrics instead of gradients, so no synchronisation is needed.

    Args:
        module (nn.Module): Model to wrap.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def test_step(self, data: dict | tuple | list) -> list:
        """Predict a batch of the data loader: a sample with prediction for each image."""
        return self.module.test_step(data)

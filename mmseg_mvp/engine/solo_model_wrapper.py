"""What stands in for DistributedDataParallel where several processes test and none learns."""
from mmseg.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module()
class SoloModelWrapper(nn.Module):
    """A model that each process runs by itself.

    mmengine wraps the model of every distributed run, and DistributedDataParallel refuses one with nothing to learn,
    such as MaskCLIP. A test exchanges areas, not gradients, so that it needs no more than this.

    Args:
        module (nn.Module): The model.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def test_step(self, data: dict | tuple | list) -> list:
        """Predict a test batch.

        Args:
            data (dict | tuple | list): A batch of the data loader.

        Returns:
            list: A sample of each image, with its prediction.
        """
        return self.module.test_step(data)

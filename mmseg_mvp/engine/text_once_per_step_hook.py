"""Gradient accumulation without encoding the class names again for every micro-batch."""
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.models import TextClassifier


@HOOKS.register_module()
class TextOncePerStepHook(Hook):
    """Tells text classifiers which micro-batch ends an optimizer step (``optim_wrapper.accumulative_counts``).

    With it the text tower runs once per optimizer step; gradients are the same to rounding.
    """

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Say whether the optimizer steps after this iteration."""
        for module in runner.model.modules():
            if isinstance(module, TextClassifier):
                module.step.ends = runner.optim_wrapper.should_sync()

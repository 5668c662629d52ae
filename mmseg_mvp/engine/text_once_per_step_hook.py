"""Gradient accumulation with one pass through the text tower per optimizer step."""
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.models import TextClassifier


@HOOKS.register_module()
class TextOncePerStepHook(Hook):
    """Hook that marks the last micro-batch of an optimizer step in text classifiers.

    With gradient accumulation (``optim_wrapper.accumulative_counts``), the text tower then runs once per optimizer
    step. Gradients are equal up to rounding.
    """

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Set ``accumulation.is_last`` to True if the optimizer steps after this iteration."""
        for module in runner.model.modules():
            if isinstance(module, TextClassifier):
                module.accumulation.is_last = runner.optim_wrapper.should_sync()

"""Check that the checkpoint of a run fits its model."""
from contextlib import ExitStack

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_mvp.checkpoints import checked_fit


@HOOKS.register_module()
class CheckpointFitHook(Hook):
    """Hook that checks ``load_from`` by :func:`~mmseg_mvp.checkpoints.checked_fit`.

    Args:
        whole (bool): True refuses a checkpoint that fits in part, for tests and resumed runs; False warns.
    """

    def __init__(self, whole: bool) -> None:
        self.whole, self._check = whole, ExitStack()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check the load into the model, which follows."""
        self._check.enter_context(checked_fit(runner.model, runner._load_from, self.whole))

    def before_train(self, runner) -> None:
        """End the check."""
        self._check.close()

    def before_test(self, runner) -> None:
        """End the check."""
        self._check.close()

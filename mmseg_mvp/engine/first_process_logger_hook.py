"""Logger hook for distributed tests."""
from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook
from mmseg.registry import HOOKS


@HOOKS.register_module()
class FirstProcessLoggerHook(LoggerHook):
    """mmengine's ``LoggerHook`` with test metrics written by the first process only.

    In mmengine, all processes write the same file at once, which sometimes gave invalid JSON.
    """

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Write the metrics to ``<timestamp>.json`` in the log folder, as mmengine does."""
        if is_main_process():
            super().after_test_epoch(runner, metrics)

"""The log of a test, written once."""
from mmengine.dist import is_main_process
from mmengine.hooks import LoggerHook
from mmseg.registry import HOOKS


@HOOKS.register_module()
class FirstProcessLoggerHook(LoggerHook):
    """mmengine's ``LoggerHook``, of which only the first process writes the metrics of a test.

    mmengine's own has all processes write them into the same file, at the same time: now and then the file was no JSON.
    """

    def after_test_epoch(self, runner, metrics: dict[str, float] | None = None) -> None:
        """Write the metrics into ``<timestamp>.json`` of the log's folder, as mmengine does."""
        if is_main_process():
            super().after_test_epoch(runner, metrics)

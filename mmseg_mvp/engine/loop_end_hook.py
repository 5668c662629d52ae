"""Hook that stops a loop that would never end."""
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS

from mmseg_mvp.errors import UserError


@HOOKS.register_module()
class LoopEndHook(Hook):
    """Hook that stops epochs, validation and tests if a sampler yields more batches than its length says."""

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the number of batches of a training epoch."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            _check('train_dataloader', runner.train_dataloader, batch_idx)

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the number of batches of a validation."""
        _check('val_dataloader', runner.val_dataloader, batch_idx)

    def before_test_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the number of batches of a test."""
        _check('test_dataloader', runner.test_dataloader, batch_idx)


def _check(name: str, loader, batch_idx: int) -> None:
    if batch_idx >= len(loader):
        raise UserError(f'{name} has {len(loader)} batches, but its sampler, {type(loader.sampler).__name__}, yields '
                        f'more and may never end: use sampler=dict(type=\'DefaultSampler\'), or a loop by iterations')

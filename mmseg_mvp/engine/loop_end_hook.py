"""Hook that stops a loop that would never end, has nothing to do, or has diverged."""
import math

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import HOOKS
from torch import Tensor

from mmseg_mvp.errors import UserError


@HOOKS.register_module()
class LoopEndHook(Hook):
    """Hook that stops epochs, validation and tests if a sampler yields more batches than its length says, or none.

    It also stops a training if the loss is not finite, before a checkpoint is written. Only every 50th iteration and
    the last are checked, because the check waits for the GPU.
    """

    def before_train(self, runner) -> None:
        """Refuse an empty loader; an infinite sampler would search for a training image forever."""
        _check_filled('train_dataloader', runner.train_dataloader)

    def before_val(self, runner) -> None:
        """Refuse an empty loader."""
        _check_filled('val_dataloader', runner.val_dataloader)

    def before_test(self, runner) -> None:
        """Refuse an empty loader."""
        _check_filled('test_dataloader', runner.test_dataloader)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the number of batches of a training epoch."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            _check('train_dataloader', runner.train_dataloader, batch_idx)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Check the loss."""
        loss = (outputs or {}).get('loss')
        due = self.every_n_train_iters(runner, 50) or runner.iter + 1 == runner.max_iters
        if due and isinstance(loss, Tensor) and not loss.isfinite().all():
            raise UserError(f'Training stopped at iteration {runner.iter + 1}, because the loss is {loss.item()}: '
                            'lower the learning rate (optim_wrapper.optimizer.lr), clip gradients '
                            '(optim_wrapper.clip_grad), and resume from an earlier checkpoint.')

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the number of batches of a validation."""
        _check('val_dataloader', runner.val_dataloader, batch_idx)

    def before_test_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Check the number of batches of a test."""
        _check('test_dataloader', runner.test_dataloader, batch_idx)


def _check(name: str, loader, batch_idx: int) -> None:
    if batch_idx >= _length(loader):
        raise UserError(f'{name} has {len(loader)} batches, but its sampler, {type(loader.sampler).__name__}, yields '
                        f'more and may never end: use sampler=dict(type=\'DefaultSampler\'), or a loop by iterations')


def _check_filled(name: str, loader) -> None:
    if not _length(loader):
        raise UserError(f'{name} has no batch: its data set has {len(loader.dataset)} images, with batch_size='
                        f'{loader.batch_size} and drop_last={loader.drop_last}; correct data_root and data_prefix, or '
                        f'lower batch_size')


def _length(loader) -> float:
    """Return the number of batches; infinity for a stream of images."""
    try:
        return len(loader)
    except TypeError:
        return math.inf

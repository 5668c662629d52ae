"""Atomic writing of checkpoints, and the choice of the checkpoint to resume from."""
import zipfile
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import find_latest_checkpoint
from mmseg.registry import HOOKS

from mmseg_mvp.checkpoints import decode_checkpoint, encode_checkpoint, same_data
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write


@register_backend('atomic')
class AtomicFileBackend(LocalBackend):
    """mmengine's local file backend with atomic writes.

    A file gets its name after it is complete and synced to disk. A killed process leaves a hidden
    ``.part`` file, which the next attempt overwrites.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file, or replace an existing one.

        Raises:
            UserError: If the disk is full or another system error occurs.
        """
        fix = 'free disk space, then use --resume to resume from the previous checkpoint, which is intact'
        with atomic_write(filepath, overwrite=True, fix=fix, sync=True) as part:
            super().put(obj, part)


@HOOKS.register_module(name=['AtomicCheckpointHook', 'WholeCheckpointHook'])  # the second name is the former one
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, safe against killed processes and full disks.

    Checkpoints are written atomically. The oldest is removed after the newest is complete. A checkpoint contains plain
    data, which any torch version loads with ``weights_only=True``.

    Args:
        *args: As in mmengine's ``CheckpointHook``.
        **kwargs: As in mmengine's ``CheckpointHook``. With ``backend_args`` or a URL as ``out_dir``, writes are not
            atomic.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._told = set()
        if self.backend_args is None and self.file_client_args is None and '://' not in str(self.out_dir):
            self.backend_args = dict(backend='atomic')

    def before_train(self, runner) -> None:
        """Warn about checkpoints between optimizer steps, which lack accumulated gradients."""
        super().before_train(runner)
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)  # absent in OptimWrapperDict
        if not self.by_epoch and self.interval > 0 and self.interval % counts:
            runner.logger.warning(
                f'Checkpoints are written every {self.interval} iterations, but the optimizer steps every {counts}: a '
                f'resumed run lacks the gradients since the last step; set default_hooks.checkpoint.interval to a '
                f'multiple of optim_wrapper.accumulative_counts.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Convert objects to plain data; warn once about unsupported objects."""
        plain, lost = encode_checkpoint(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)
        if new := set(lost) - self._told:
            self._told |= new
            runner.logger.warning(f'Not saved in checkpoints, because it is not plain data: {", ".join(sorted(new))}. '
                                  f'A resumed run starts without it.')

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Restore objects from plain data, for tools that load checkpoints by mmengine.

        mmengine compares pickles of the metainfo and warns of another data set if they differ. Pickles of equal values
        can differ (order of a set), so equal metainfo is replaced by the metainfo of the data set.
        """
        restored = decode_checkpoint(checkpoint)
        if restored is not checkpoint:
            checkpoint.clear()
            checkpoint.update(restored)
        loader = getattr(getattr(runner, '_train_loop', None), 'dataloader', None)  # the property would build it
        own, meta = getattr(getattr(loader, 'dataset', None), 'metainfo', None), checkpoint.get('meta')
        if own is not None and isinstance(meta, dict) and same_data(meta.get('dataset_meta'), own):
            meta['dataset_meta'] = own

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """Save as mmengine does, but remove old checkpoints after the new one is complete."""
        outdated = []
        self.file_backend.remove = outdated.append
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            del self.file_backend.remove
        for path in outdated:
            self.file_backend.remove(path)


def find_complete_checkpoint(work_dir: str | Path) -> tuple[str | None, list[str]]:
    """Find the latest complete checkpoint in the folder of a run. Remote checkpoints are not verified.

    Returns:
        tuple[str | None, list[str]]: Path, or None without checkpoints, and the paths of skipped incomplete
        checkpoints.

    Raises:
        UserError: If all checkpoints are incomplete.
    """
    named = find_latest_checkpoint(str(work_dir))
    if named and '://' in named:
        return named, []
    found = [path for pattern in ('iter_*.pth', 'epoch_*.pth') for path in Path(work_dir).absolute().glob(pattern)]
    found = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    candidates = list(dict.fromkeys([*([named] if named else []), *map(str, found)]))
    complete = next((path for path in candidates if is_complete(path)), None)
    if candidates and complete is None:
        raise UserError(f'No checkpoint of {work_dir} is complete ({", ".join(candidates)}): copy them again, or '
                        f'remove them and its last_checkpoint to train from the start.')
    return complete, candidates[:candidates.index(complete)] if complete else []


def is_complete(path: str | Path) -> bool:
    """Return True if a file is a complete archive of ``torch.save``, verified by checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damaged archives raise various exceptions
        return False

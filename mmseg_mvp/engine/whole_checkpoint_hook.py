"""Atomic writing of checkpoints, and the choice of the checkpoint to resume from."""
import os
import zipfile
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import find_latest_checkpoint
from mmseg.registry import HOOKS

from mmseg_mvp.checkpoints import decode_checkpoint, encode_checkpoint, same_data
from mmseg_mvp.errors import UserError


@register_backend('whole')
class WholeFileBackend(LocalBackend):
    """mmengine's local file backend with atomic writes.

    A file gets its name after it is complete and synced to disk. A killed process leaves ``.NAME.part``, which the next
    attempt overwrites.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file, or replace an existing one.

        Raises:
            UserError: If the disk is full or another system error occurs.
        """
        path = Path(filepath)
        part = path.with_name(f'.{path.name}.part')
        try:
            super().put(obj, part)
            _to_disk(part)
            os.replace(part, path)
            _to_disk(path.parent)
        except OSError as error:
            with suppress(OSError):
                part.unlink()  # free the disk space
            raise UserError(f'The checkpoint {path} can\'t be written ({error.strerror or error}): make room, or mend '
                            'the disk, and go on with --resume from the checkpoint before, which is intact.') from error


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
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
            self.backend_args = dict(backend='whole')

    def before_train(self, runner) -> None:
        """Warn about checkpoints between optimizer steps, which lack accumulated gradients."""
        super().before_train(runner)
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if not self.by_epoch and self.interval > 0 and self.interval % counts:
            runner.logger.warning(
                f'Checkpoints come every {self.interval} iterations and the optimizer steps every {counts}: a run '
                f'that is resumed lacks the gradients since the last step; let default_hooks.checkpoint.interval be a '
                f'multiple of optim_wrapper.accumulative_counts.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Convert objects to plain data; warn once about unsupported objects."""
        plain, lost = encode_checkpoint(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)
        if new := set(lost) - self._told:
            self._told |= new
            runner.logger.warning(f'Not saved in checkpoints, since it is no plain data: {", ".join(sorted(new))}. A '
                                  f'run that is resumed begins without it.')

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Restore objects from plain data, for tools that load checkpoints by mmengine.

        mmengine compares pickles of the metainfo and warns of another data set if they differ. Pickles of equal values
        can differ (order of a set), so equal metainfo is replaced by the metainfo of the data set.
        """
        whole = decode_checkpoint(checkpoint)
        if whole is not checkpoint:
            checkpoint.clear()
            checkpoint.update(whole)
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


def find_whole_checkpoint(work_dir: str | Path) -> tuple[str | None, list[str]]:
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
    whole = next((path for path in candidates if is_whole(path)), None)
    if candidates and whole is None:
        raise UserError(f'No checkpoint of {work_dir} is whole ({", ".join(candidates)}): copy them again, or remove '
                        f'them and its last_checkpoint to train from the start.')
    return whole, candidates[:candidates.index(whole)] if whole else []


def is_whole(path: str | Path) -> bool:
    """Return True if a file is a complete archive of ``torch.save``, verified by checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # damaged archives raise various exceptions
        return False


def _to_disk(path: Path) -> None:
    """Sync a file or a folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

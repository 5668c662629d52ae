"""Checkpoints that are there as a whole or not at all, and the one that a run goes on from."""
import os
import zipfile
from contextlib import suppress
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import find_latest_checkpoint
from mmseg.registry import HOOKS

from mmseg_mvp.checkpoints import from_plain, same_data, to_plain
from mmseg_mvp.errors import UserError


@register_backend('whole')
class WholeFileBackend(LocalBackend):
    """mmengine's local files, which take their names only when they are complete and on the disk.

    A process that is killed while it writes leaves ``.NAME.part``, which the next attempt overwrites.
    """

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file.

        Args:
            obj (bytes): What it holds.
            filepath (str | Path): Its path; a file of that name gives way.

        Raises:
            UserError: The disk is full, or another fault of the system.
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
                part.unlink()  # half a file would only take room
            raise UserError(f'The checkpoint {path} can\'t be written ({error.strerror or error}): make room, or mend '
                            'the disk, and go on with --resume from the checkpoint before, which is intact.') from error


@HOOKS.register_module()
class WholeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, safe against being killed and against a full disk.

    A checkpoint is there as a whole or not at all, and the oldest is removed when the newest is written, not before.
    It holds plain data, which any torch reads by ``weights_only=True``.

    Args:
        *args: As in mmengine's ``CheckpointHook``.
        **kwargs: As in mmengine's ``CheckpointHook``; ``backend_args``, or an ``out_dir`` that is an address, have the
            checkpoints written in other ways.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._told = set()
        if self.backend_args is None and self.file_client_args is None and '://' not in str(self.out_dir):
            self.backend_args = dict(backend='whole')

    def before_train(self, runner) -> None:
        """Warn of checkpoints between two steps of the optimizer: they lack the gradients gathered so far."""
        super().before_train(runner)
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        if not self.by_epoch and self.interval > 0 and self.interval % counts:
            runner.logger.warning(
                f'Checkpoints come every {self.interval} iterations and the optimizer steps every {counts}: a run '
                f'that is resumed lacks the gradients since the last step; let default_hooks.checkpoint.interval be a '
                f'multiple of optim_wrapper.accumulative_counts.')

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Turn objects into plain data, and warn once of those that can't be."""
        plain, lost = to_plain(checkpoint)
        checkpoint.clear()
        checkpoint.update(plain)
        if new := set(lost) - self._told:
            self._told |= new
            runner.logger.warning(f'Not saved in checkpoints, since it is no plain data: {", ".join(sorted(new))}. A '
                                  f'run that is resumed begins without it.')

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Restore the objects, for a tool that reads checkpoints as mmengine does.

        mmengine warns of another data set if the pickles of its metainfo differ, as those of equal values may (the
        order of a set). Equal metainfo is replaced by the data set's own.
        """
        whole = from_plain(checkpoint)
        if whole is not checkpoint:
            checkpoint.clear()
            checkpoint.update(whole)
        loader = getattr(getattr(runner, '_train_loop', None), 'dataloader', None)  # the property would build it
        own, meta = getattr(getattr(loader, 'dataset', None), 'metainfo', None), checkpoint.get('meta')
        if own is not None and isinstance(meta, dict) and same_data(meta.get('dataset_meta'), own):
            meta['dataset_meta'] = own

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """Save as mmengine does, but remove the oldest checkpoint when the newest is safe, and not before."""
        outdated = []
        self.file_backend.remove = outdated.append
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        finally:
            del self.file_backend.remove
        for path in outdated:
            self.file_backend.remove(path)


def find_whole_checkpoint(work_dir: str | Path) -> tuple[str | None, list[str]]:
    """The checkpoint that a run goes on from: the latest, or where that is not whole, the one before.

    Args:
        work_dir (str | Path): Folder of the run, whose ``last_checkpoint`` names the latest.

    Returns:
        tuple[str | None, list[str]]: Its path, None where there is none, and those that were passed over.

    Raises:
        UserError: There are checkpoints, and none of them is whole.
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
    """Whether a file is a complete archive of ``torch.save``, by the checksums of its parts."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # an archive can be broken in more ways than its reader has names for
        return False


def _to_disk(path: Path) -> None:
    """Wait until the system has written a file, or a folder's names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

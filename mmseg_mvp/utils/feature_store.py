"""Store of the outputs of a frozen image tower, for repeated tests on the same images."""
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from mmengine.dist import barrier, get_rank
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmseg_mvp.errors import UserError

from .files import atomic_write
from .settings_index import FIX, check_same, read_index, write_index

_KIND, _VERSION = 'feature bank of tests', 1


class FeatureStore:
    """Folder with the outputs of a tower, one file per image or window, named by the hash of its pixels.

    So a store fits any pipeline, window size and data set. An image that it lacks is computed and added.

    Args:
        folder (str | Path): Folder. A new one is created.
        settings (Mapping): Settings that the outputs depend on, by name, as plain data of JSON.
        precision (str): Type of the stored values, ``'float16'`` or ``'float32'``. Outputs are rounded to it when they
            are computed as well, so the first test and a repeated one give the same figures.

    Attributes:
        read (int): Number of images read so far.
        added (int): Number of images added so far.
        added_bytes (int): Size of their files.

    Raises:
        UserError: If the folder has other files or a store of other settings, or is not writable.
    """

    def __init__(self, folder: str | Path, settings: Mapping, precision: str = 'float16') -> None:
        self.folder, self.precision = Path(folder), precision
        self.read = self.added = self.added_bytes = 0
        settings = dict(settings, precision=precision)
        if get_rank():
            barrier()  # the first process writes the index
            self._open(settings)
            return
        try:
            self._open(settings)
        finally:
            barrier()

    def _open(self, settings: dict) -> None:
        """Check the settings of the folder, or begin a new one."""
        found = read_index(self.folder, _KIND, _VERSION)
        if found is not None:
            check_same(self.folder, _KIND, found['settings'], settings)
        elif not get_rank():
            write_index(self.folder, dict(settings=settings), _KIND, _VERSION)

    def __call__(self, images: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]],
                 kind: str = '') -> tuple[Tensor, ...]:
        """Return the outputs (B, C_i, h_i, w_i) of images (B, 3, H, W); ``compute`` gives those that are missing.

        Outputs of another ``kind`` (of at most 16 letters), such as features with keys, have their own files.

        Raises:
            UserError: If a file cannot be read or written, or a value is not finite in the precision.
        """
        paths = [self._path(image, kind) for image in images]
        missing = [index for index, path in enumerate(paths) if not path.is_file()]
        if missing:
            outputs = compute(images[missing])
            for place, index in enumerate(missing):
                self._write(paths[index], [output[place] for output in outputs])
        self.read += len(images) - len(missing)
        maps = zip(*map(_read, paths))
        return tuple(torch.stack(ones).to(images) for ones in maps)

    def _path(self, image: Tensor, kind: str) -> Path:
        """Return the path for the outputs of an image (3, H, W)."""
        pixels = image.detach().to('cpu', torch.float32).contiguous()
        digest = hashlib.blake2b(pixels.numpy().data, digest_size=16, salt=str(image.shape[-1]).encode(),
                                 person=kind.encode())
        name = digest.hexdigest()
        return self.folder / name[:2] / f'{name[2:]}.safetensors'

    def _write(self, path: Path, outputs: Sequence[Tensor]) -> None:
        """Write the outputs of an image, (C_i, h_i, w_i) each."""
        values = {str(index): output.to('cpu', getattr(torch, self.precision)).contiguous()
                  for index, output in enumerate(outputs)}
        if not all(value.isfinite().all() for value in values.values()):
            raise UserError(f'The features of an image are not finite in {self.precision}: store them in float32 '
                            f"(precision='float32'), or check the CLIP's weights.")
        with atomic_write(path, overwrite=True, fix=FIX, writer=str(get_rank())) as part:
            try:
                save_file(values, part)
            except SafetensorError as error:  # its own form of an OSError
                raise OSError(str(error)) from error
        self.added += 1
        self.added_bytes += path.stat().st_size


def _read(path: Path) -> list[Tensor]:
    """Read the outputs of an image."""
    try:
        values = load_file(path)
        return [values[str(index)] for index in range(len(values))]
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f'{path} of the {_KIND} cannot be read ({error}): delete this file, and run the command '
                        f'again to compute it.') from error

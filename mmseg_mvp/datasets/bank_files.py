"""Files of a feature bank: an index, and one memory-mapped file per image with the features and labels of its crops."""
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.utils.settings_index import FIX, check_same, read_index, unreadable, write_index

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

_KIND = 'feature bank'
_VERSION = 1


class BankFiles:
    """Feature bank in a folder.

    Each image has a ``.npy`` file of A records, one per crop: ``features`` (D, h, w) and ``labels`` (H, W). A file gets
    its name when it is complete, so a file of the right size is a finished image.

    Args:
        folder (str | Path): Folder of the bank.
        settings (Mapping): Settings that the features depend on, by name, as plain data of JSON.
        images (int): Number of images.
        augmentations (int): Number A of crops per image.
        features (Sequence[int]): Shape (D, h, w) of the features of a crop.
        labels (Sequence[int]): Shape (H, W) of the label map of a crop.
        precision (str): Type of the features, ``'float16'`` or ``'float32'``.
        label_type (str): Type of the labels, such as ``'uint8'``.

    Attributes:
        dtype (np.dtype): Record of a crop.
        bytes_per_image (int): Size of the file of an image.
    """

    def __init__(self, folder: str | Path, settings: Mapping, images: int, augmentations: int, features: Sequence[int],
                 labels: Sequence[int], precision: str = 'float16', label_type: str = 'uint8') -> None:
        self.folder = Path(folder)
        self.index = dict(settings=settings, images=images, augmentations=augmentations, features=list(features),
                          labels=list(labels), precision=precision, label_type=label_type)
        self.dtype = np.dtype([('features', precision, tuple(features)), ('labels', label_type, tuple(labels))])
        self.augmentations, self.images = augmentations, images
        header = BytesIO()
        np.lib.format.write_array_header_1_0(header, dict(
            descr=np.lib.format.dtype_to_descr(self.dtype), fortran_order=False, shape=(augmentations, )))
        self._header = header.getvalue()
        self.bytes_per_image = len(self._header) + augmentations * self.dtype.itemsize

    @classmethod
    def open(cls, folder: str | Path) -> 'BankFiles | None':
        """Read the index of a bank. Return None if the folder is new or empty.

        Raises:
            UserError: If the folder holds other files, or the index cannot be read.
        """
        index = read_index(folder, _KIND, _VERSION)
        try:
            return None if index is None else cls(folder, **index)
        except (TypeError, ValueError) as error:
            raise unreadable(folder, _KIND, error) from error

    def write_index(self) -> None:
        """Write the index.

        Raises:
            UserError: If the folder is not writable.
        """
        write_index(self.folder, self.index, _KIND, _VERSION)

    def check_settings(self, settings: Mapping) -> None:
        """Compare the settings of the bank with those of a run.

        Raises:
            UserError: If they differ, with the first setting that does.
        """
        check_same(self.folder, _KIND, self.index['settings'], settings)

    def path(self, image: int) -> Path:
        """Return the path of the file of an image."""
        return self.folder / f'{image:08d}.npy'

    def missing(self) -> list[int]:
        """Return the images without a complete file."""
        with os.scandir(self.folder) as entries:
            sizes = {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith('.npy')}
        return [image for image in range(self.images) if sizes.get(self.path(image).name) != self.bytes_per_image]

    def write(self, image: int, features: np.ndarray, labels: np.ndarray) -> None:
        """Write features (A, D, h, w) and labels (A, H, W) of an image, completely or not at all.

        Raises:
            UserError: If the file cannot be written.
        """
        records = np.empty(self.augmentations, self.dtype)
        records['features'], records['labels'] = features, labels
        with atomic_write(self.path(image), overwrite=True, fix=FIX) as part, open(part, 'wb') as file:
            file.write(self._header)
            file.write(records.view(np.uint8).data)

    def read(self, image: int, augmentation: int) -> tuple[np.ndarray, np.ndarray]:
        """Read features (D, h, w) and labels (H, W) of a crop.

        Raises:
            UserError: If the file is missing or damaged.
        """
        path = self.path(image)
        try:
            records = np.load(path, mmap_mode='r')
            if records.dtype != self.dtype or records.shape != (self.augmentations, ):
                raise ValueError('it is not of this bank')
            return np.array(records['features'][augmentation]), np.array(records['labels'][augmentation])
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f'{path} of the feature bank cannot be read ({error}): delete this file, and run the '
                            f'command again to compute it.') from error


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Create the folder of a bank and keep it for this process. The lock ends with the process, even if it is killed.

    Raises:
        UserError: If the folder cannot be written, or another process builds this bank.
    """
    path = Path(folder) / '.lock'
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, 'w')
    except OSError as error:
        raise UserError(f'The feature bank {folder} cannot be written ({error.strerror}): name a writable '
                        f'folder.') from error
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f'The feature bank {folder} is being built by another process: wait for its end, or name '
                            f'another folder.') from error
        except OSError:  # a network drive without locks
            pass
        yield

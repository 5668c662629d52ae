"""PASCAL Context with 459 classes from its .mat files."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import loadmat, whosmat

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.pixels import MAX_PIXELS

from ..test_only import IGNORE_16
from .jobs import Job

_CLASSES, _KEY = 459, 'LabelMap'
_FIX = 'extract trainval.tar.gz of PASCAL Context again'


def context459_jobs(root: Path, splits: Sequence[str]) -> list[Job]:
    """Find the labels ``trainval/NAME.mat`` of the images in ``ImageSets/Main/SPLIT.txt`` below VOC2010.

    Raises:
        UserError: If a list or a file is missing.
    """
    jobs = []
    for split in splits:
        names_file = root / 'ImageSets' / 'Main' / f'{split}.txt'
        if not names_file.is_file():
            raise UserError(f'{names_file} is missing: give the folder VOCdevkit/VOC2010 with the lists of PASCAL VOC '
                            f'2010.')
        names = names_file.read_text().split()
        sources = [root / 'trainval' / f'{name}.mat' for name in names]
        if missing := [source for source in sources if not source.is_file()]:
            raise UserError(f'{len(missing)} of the {len(names)} labels of {names_file} are missing, such as '
                            f'{missing[0]}: extract trainval.tar.gz of PASCAL Context to {root}.')
        jobs += [Job((source, ), (root / 'SegmentationClassContext459' / f'{source.stem}.png', )) for source in sources]
    return jobs


def context459_pictures(job: Job) -> list[Image.Image]:
    """Make the mask, 16 bits: 0 to 458 for classes, 65535 for pixels without one.

    Raises:
        UserError: If the file cannot be read, or has no labels from 0 to 459.
    """
    path, = job.sources
    labels = _labels(path)
    if labels.ndim != 2 or labels.dtype.kind not in 'iu' or not labels.size:
        raise UserError(f'{path} has labels of type {labels.dtype} and shape {labels.shape}: expected integers (H, W); '
                        f'{_FIX}.')
    if labels.min() < 0 or labels.max() > _CLASSES:
        raise UserError(f'{path} has the label {labels.max() if labels.min() >= 0 else labels.min()}: expected 0 to '
                        f'{_CLASSES}; {_FIX}.')
    labels = labels.astype(np.int64) - 1
    return [Image.fromarray(np.where(labels < 0, IGNORE_16, labels).astype(np.uint16))]


def _labels(path: Path) -> np.ndarray:
    """Read the variable of a .mat file that holds the labels. scipy reads numbers only; it runs nothing."""
    try:
        shapes = {name: shape for name, shape, _ in whosmat(str(path))}
        if np.prod(shapes.get(_KEY, (0, )), dtype=float) <= MAX_PIXELS:
            return loadmat(str(path), variable_names=[_KEY])[_KEY]
        reason = f'{_KEY} has the shape {shapes[_KEY]}'
    except Exception as error:  # damaged files raise various exceptions
        reason = f'{type(error).__name__}: {error}'
    raise UserError(f'{path} cannot be read ({reason[:200]}): expected a .mat file with the labels {_KEY}, (H, W); '
                    f'{_FIX}.')

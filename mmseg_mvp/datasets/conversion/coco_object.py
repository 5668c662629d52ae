"""COCO-Object from the pixel maps of COCO-Stuff 164k."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.masks import decode_mask

from .jobs import Job

# Ids of COCO from 1 to 90 without a class in COCO 2017. Values in the pixel maps are ids minus 1.
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_LAST_THING, _LAST_STUFF = 90, 182
_SUFFIX = '_instanceTrainIds.png'


def coco_object_jobs(root: Path, splits: Sequence[str]) -> list[Job]:
    """Find the pixel maps of COCO-Stuff, ``annotations/val2017/*.png``, below a folder.

    Raises:
        UserError: If a split has none.
    """
    jobs = []
    for split in splits:
        folder = root / 'annotations' / split
        sources = [path for path in sorted(folder.glob('*.png')) if 'TrainIds' not in path.name]
        if not sources:
            raise UserError(f'{folder} has no pixel map of COCO-Stuff: expected files such as 000000000139.png; '
                            f'extract stuffthingmaps_trainval2017.zip to {root / "annotations"}.')
        jobs += [Job((path, ), (path.with_name(f'{path.stem}{_SUFFIX}'), )) for path in sources]
    return jobs


def coco_object_pictures(job: Job) -> list[Image.Image]:
    """Make the mask of COCO-Object, 8 bits: 0 for background, 1 to 80 for things, 255 for ignored pixels.

    Raises:
        UserError: If the pixel map cannot be read or has another value than 0 to 181 and 255.
    """
    path, = job.sources
    values = decode_mask(path.read_bytes(), f'Pixel map {str(path)!r}').values
    labels = _table()[np.minimum(values, IGNORE)]
    wrong = (labels < 0) | (values > IGNORE)
    if wrong.any():
        raise UserError(f'Pixel map {str(path)!r} has the value {values[wrong][0]}: expected 0 to {_LAST_STUFF - 1} '
                        f'and {IGNORE}, as in stuffthingmaps_trainval2017.zip.')
    return [Image.fromarray(labels.astype(np.uint8))]


def _table() -> np.ndarray:
    """Return the label of each value, (256,), -1 for values that do not occur."""
    table = np.full(IGNORE + 1, -1)
    things = [number - 1 for number in range(1, _LAST_THING + 1) if number not in _UNUSED_IDS]
    table[:_LAST_STUFF] = 0
    table[things], table[IGNORE] = np.arange(1, len(things) + 1), IGNORE
    return table

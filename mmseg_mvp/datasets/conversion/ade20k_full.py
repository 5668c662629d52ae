"""ADE20K-Full with 847 classes, as MaskFormer (Cheng et al., NeurIPS 2021) prepares it."""
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import PLAIN_VALUES, read_pickle, short
from mmseg_mvp.vocabularies import load_vocabulary

from ..test_only import IGNORE_16
from .ade20k_ids import OBJECT_IDS
from .jobs import Job

_INDEX = 'index_ade20k.pkl'
_SHORT_SIDE = 512
_NAME, _FOLDER = re.compile(r'ADE_[\w.-]{1,100}\.jpg'), re.compile(r'[\w.-]+(/[\w .,\'()-]+)+')
_FIX = 'use the release ADE20K_2021_17_01'


def ade20k_full_jobs(root: Path, splits: Sequence[str]) -> list[Job]:
    """Find the images of splits (``'training'``, ``'validation'``) by ``index_ade20k.pkl``, which is read as data.

    Raises:
        UserError: If the index or an image is missing, or the index is not that of the release 2021_17_01.
    """
    index = _read_index(root / _INDEX)
    _check_names(index['objectnames'], root / _INDEX)
    jobs = []
    for folder, name in zip(index['folder'], index['filename'], strict=True):
        split = 'validation' if name.split('_')[1] == 'val' else 'training'
        if split in splits:
            image = root.joinpath(*Path(folder).parts[1:], name)
            jobs.append(Job((image, image.with_name(f'{image.stem}_seg.png')),
                            (root / 'images_detectron2' / split / name,
                             root / 'annotations_detectron2' / split / f'{image.stem}.tif')))
    if missing := [source for job in jobs for source in job.sources if not source.is_file()]:
        raise UserError(f'{len(missing)} files of {root / _INDEX} are missing, such as {missing[0]}: extract all of '
                        f'ADE20K_2021_17_01.zip to {root}.')
    return jobs


def ade20k_full_pictures(job: Job) -> list[Image.Image]:
    """Make the image and its mask of 16 bits, both with a short side of at most 512 pixels.

    Values are 0 to 846 for classes, 65535 for others.

    Raises:
        UserError: If a file cannot be read, or the sizes differ.
    """
    image, parts = (_pixels(source) for source in job.sources)
    if image.shape != parts.shape:
        raise UserError(f'{job.sources[0]} and {job.sources[1]} differ in size: {image.shape[:2]} and '
                        f'{parts.shape[:2]}; {_FIX}.')
    ids = parts[..., 0].astype(np.int32) // 10 * 256 + parts[..., 1]  # red counts hundreds of green
    table = np.full(2**16, IGNORE_16, np.uint16)
    table[list(OBJECT_IDS)] = np.arange(len(OBJECT_IDS))
    labels = table[ids]
    height, width = labels.shape
    if min(height, width) > _SHORT_SIDE:
        scale = _SHORT_SIDE / min(height, width)
        size = round(width * scale), round(height * scale)
        image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    return [Image.fromarray(image), Image.fromarray(labels)]


def _pixels(path: Path) -> np.ndarray:
    """Read a picture as RGB, (H, W, 3) uint8."""
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert('RGB'))
    except Exception as error:  # each decoder raises its own exceptions
        raise UserError(f'{path} cannot be read ({type(error).__name__}: {error}): replace it by an intact copy.'
                        ) from error


def _read_index(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f'{path} is missing: give the folder ADE20K_2021_17_01 of the full ADE20K.')
    try:
        index = read_pickle(path.read_bytes(), PLAIN_VALUES)
    except Exception as error:  # damaged files raise various exceptions
        raise UserError(f'{path} cannot be read ({short(str(error)) or type(error).__name__}): {_FIX}.') from error
    keys = ('folder', 'filename', 'objectnames')
    lists = [_as_list(index.get(key)) for key in keys] if isinstance(index, dict) else [None]
    if not all(isinstance(one, list) and all(isinstance(text, str) for text in one) for one in lists):
        raise UserError(f'{path} has no lists of strings {", ".join(keys)}: {_FIX}.')
    if len(lists[0]) != len(lists[1]) or not all(map(_NAME.fullmatch, lists[1])) or not all(map(_is_below, lists[0])):
        raise UserError(f'{path} does not name one image such as ADE_val_00000001.jpg and one folder for each: {_FIX}.')
    return dict(zip(keys, lists))


def _as_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _is_below(folder: str) -> bool:
    return _FOLDER.fullmatch(folder) is not None and '..' not in folder.split('/')


def _check_names(names: list[str], path: Path) -> None:
    """Compare the names of the 847 objects with the label set; its wordings are the synonyms of the data set."""
    for number, wordings in zip(OBJECT_IDS, load_vocabulary('ade20k_847').values()):
        found = names[number - 1] if number <= len(names) else 'missing'
        if found.partition(',')[0].strip() != wordings[0]:
            raise UserError(f'Object {number} of {path} is {found[:60]!r}: expected {wordings[0]!r}; {_FIX}.')

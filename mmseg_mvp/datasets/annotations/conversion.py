"""Conversion of photos and annotations to the folder of a data set."""
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.file_index import first_three
from mmseg_mvp.utils.files import check_new_file
from mmseg_mvp.utils.pixels import MAX_PIXELS, Photo, read_photo, turned
from mmseg_mvp.vocabularies import load_vocabulary

from ..picture_names import distinct_names
from .classes import ClassTable, class_table, write_names
from .finding import read_annotations
from .photos import PhotoIndex, list_photos
from .records import Annotation, Shape

UNLABELLED_PIXELS = ('background', 'ignore')
PHOTOS, MASKS, NAMES, TRAIN, VAL = 'photos', 'masks', 'classes.txt', 'train.txt', 'val.txt'


class Converted(NamedTuple):
    """Folder of a data set.

    Attributes:
        root (Path): Folder with ``photos/``, ``masks/``, ``classes.txt``, ``train.txt`` and ``val.txt``.
        kind (str): Format of the annotations.
        classes (list[str]): Names by label value.
        train (list[str]): Stems of the photos for training.
        val (list[str]): Stems of the photos that are held out; empty if none can be.
        img_suffix (str): Suffix of all photos.
        ignore_index (int): Value of ignored pixels.
    """
    root: Path
    kind: str
    classes: list[str]
    train: list[str]
    val: list[str]
    img_suffix: str
    ignore_index: int


class Pair(NamedTuple):
    """A photo, its content unless it is ``source`` itself, and its annotation."""
    source: Path
    embedded: bytes | None
    annotation: Annotation


def convert(photos: str | Path, annotations: str | Path, out: str | Path, unlabelled: str = 'background',
            classes: Sequence[str] | str | None = None, val: float = 0.2, seed: int = 0,
            max_pixels: int = MAX_PIXELS) -> Converted:
    """Convert photos and annotations of any supported format to the folder of a data set.

    The folder is made under a temporary name and renamed when it is complete.

    Args:
        photos (str | Path): Folder of photos, with subfolders.
        annotations (str | Path): File or folder, see :data:`mmseg_mvp.datasets.annotations.FORMATS`.
        out (str | Path): New folder.
        unlabelled (str): Pixels outside all shapes: ``'background'`` makes them a class, if there are any;
            ``'ignore'`` leaves them out of training and test.
        classes (Sequence[str] | str, optional): Names in the order of the label values, see
            :func:`mmseg_mvp.vocabularies.load_vocabulary`; by default those of the files.
        val (float): Share of the photos that is held out, 0 to below 1. Each class stays in at least one photo for
            training.
        seed (int): Seed of the choice of held-out photos.
        max_pixels (int): Largest number of pixels of a photo.

    Returns:
        Converted: The folder and its contents.

    Raises:
        UserError: If a file is damaged or of an unknown kind, no annotation has a photo, a size differs, there is no
            class, or the folder exists or can't be written.
    """
    if unlabelled not in UNLABELLED_PIXELS:
        raise UserError(f'unlabelled is {unlabelled!r}: expected one of {", ".join(UNLABELLED_PIXELS)}')
    check_number('val (--val)', val, least=0, most=.99)
    out = Path(out)
    check_new_file(out)
    chosen = load_vocabulary(classes) if classes else None
    source = read_annotations(Path(annotations), Path(photos), chosen)
    pairs = _pairs(Path(photos), source.annotations)
    table = class_table([pair.annotation for pair in pairs], source, chosen, unlabelled)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f'.{out.name}.', dir=out.parent) as folder:
            made = _write(pairs, table, Path(folder, 'made'), val, seed, max_pixels)
            check_new_file(out)
            Path(folder, 'made').rename(out)
    except OSError as error:
        raise UserError(f'{out} can\'t be written ({error.strerror or error}): give a path in a writable folder, on a '
                        'disk with free space.') from error
    return made._replace(root=out, kind=source.kind)


def _pairs(folder: Path, annotations: Sequence[Annotation]) -> list[Pair]:
    """Find the photo of each annotation; tell which photos and annotations remain.

    Raises:
        UserError: If no annotation has a shape and a photo, or two annotations have one photo.
    """
    photos = list_photos(folder)
    index, pairs, lost = PhotoIndex(photos, folder), {}, []
    for one in annotations:
        photo = index.find(one.photos, one.where)
        if photo is None and one.embedded is None:
            lost.append(one)
            continue
        path = photo or Path(one.photos[0].replace('\\', '/'))
        if path in pairs:
            raise UserError(f'Photo {str(path)!r} has two annotations, {pairs[path].annotation.where} and {one.where}: '
                            'keep one of them.')
        pairs[path] = Pair(path, None if photo else one.embedded, one)
    if lost and len(lost) == len(annotations):
        raise UserError(f'No photo fits the annotations: {lost[0].where} is of {lost[0].photos[0]!r}, which the folder '
                        'of the photos lacks; give the folder with these photos.')
    _tell('annotations have no photo and are left out', [one.photos[0] for one in lost])
    _tell('photos have no annotation and are left out', [str(photo) for photo in photos if photo not in pairs])
    empty = [path for path, pair in pairs.items() if pair.annotation.is_empty]
    _tell('photos have an annotation without shapes and are left out', map(str, empty))
    if len(empty) == len(pairs):
        raise UserError(f'{annotations[0].where if annotations else "The file"} has no shape, nor has any other: label '
                        'at least one photo, and export again.')
    return [pair for path, pair in sorted(pairs.items()) if not pair.annotation.is_empty]


def _tell(finding: str, names: Sequence[str]) -> None:
    names = list(names)
    if names:
        print_log(f'{len(names)} {finding}: {first_three(names)}', 'current')


def _write(pairs: Sequence[Pair], table: ClassTable, root: Path, val: float, seed: int, max_pixels: int) -> Converted:
    """Write the files of a data set into a new folder."""
    names = distinct_names([(str(pair.source), '') for pair in pairs])
    suffix = _suffix(pairs)
    present = {}
    for pair, name in zip(pairs, names):
        photo = _read(pair, max_pixels)
        labels = table.finished(_on_photo(pair.annotation, photo, table))
        present[name] = set(np.unique(labels).tolist()) - {table.ignore_index}
        _save_photo(pair, photo, _new(root / PHOTOS / f'{name}{suffix}'))
        Image.fromarray(labels).save(_new(root / MASKS / f'{name}.png'))
    classes = table.used(set().union(*present.values()))
    write_names(classes, root / NAMES)
    _tell_classes(list(classes), present)
    train, held_out = split(present, val, seed)
    (root / TRAIN).write_text('\n'.join(train) + '\n', 'utf-8')
    if held_out:
        (root / VAL).write_text('\n'.join(held_out) + '\n', 'utf-8')
    return Converted(root, '', list(classes), train, held_out, suffix, table.ignore_index)


def _new(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _suffix(pairs: Sequence[Pair]) -> str:
    """Return the common suffix of the photos, in lower case; ``.png`` for photos of several kinds."""
    suffixes = {pair.source.suffix.lower().replace('.jpeg', '.jpg') for pair in pairs if pair.embedded is None}
    return suffixes.pop() if len(suffixes) == 1 and not any(pair.embedded for pair in pairs) else '.png'


def _read(pair: Pair, max_pixels: int) -> Photo:
    if pair.embedded is not None:
        return read_photo(BytesIO(pair.embedded), f'The photo in {pair.annotation.where}', max_pixels)
    with pair.source.open('rb') as file:
        return read_photo(file, f'Image {pair.source}', max_pixels)


def _save_photo(pair: Pair, photo: Photo, path: Path) -> None:
    """Copy a photo, or save its pixels as PNG if the suffix of the data set is another one."""
    if pair.embedded is None and pair.source.suffix.lower().replace('.jpeg', '.jpg') == path.suffix:
        shutil.copyfile(pair.source, path)
    else:
        Image.fromarray(photo.pixels).save(path)


def _on_photo(annotation: Annotation, photo: Photo, table: ClassTable) -> np.ndarray:
    """Draw an annotation on the pixels of its photo as viewers show it, (H, W) int32.

    An annotation of the size of the stored pixels is turned with the photo.

    Raises:
        UserError: If the annotation is of another size.
    """
    shape: Shape = photo.pixels.shape[:2]
    stored = shape[::-1] if photo.orientation > 4 else shape
    if annotation.size is not None and annotation.size not in (shape, stored):
        raise UserError(_sizes(annotation, annotation.size, shape))
    values = annotation.label_map(annotation.size or shape, table.index)
    if values.shape != shape and values.shape != stored:
        raise UserError(_sizes(annotation, values.shape, shape))
    return values if values.shape == shape else turned(values, photo.orientation)


def _sizes(annotation: Annotation, found: Shape, photo: Shape) -> str:
    return (f'{annotation.where} is of {found[1]} x {found[0]} pixels, and its photo has {photo[1]} x {photo[0]}: use '
            'the photo that was annotated.')


def _tell_classes(classes: Sequence[str], present: dict[str, set[int]]) -> None:
    found = set().union(*present.values())
    _tell('classes have no pixel in any photo', [name for value, name in enumerate(classes) if value not in found])


def split(present: dict[str, set[int]], val: float, seed: int) -> tuple[list[str], list[str]]:
    """Choose held-out photos at random, while each of their classes stays in a photo for training.

    Args:
        present (dict[str, set[int]]): Classes of each photo.
        val (float): Share to hold out.
        seed (int): Seed of the choice.

    Returns:
        tuple[list[str], list[str]]: Photos for training and held-out photos, in the order of ``present``.
    """
    wanted, held_out = round(val * len(present)), set()
    remaining = Counter(value for values in present.values() for value in values)
    names = sorted(present)
    random.Random(seed).shuffle(names)
    for name in names:
        if len(held_out) < min(wanted, len(present) - 1) and all(remaining[value] > 1 for value in present[name]):
            held_out.add(name)
            remaining.subtract(present[name])
    return [name for name in present if name not in held_out], [name for name in present if name in held_out]

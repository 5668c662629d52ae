"""COCO file of a folder of label maps."""
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.file_index import first_three
from mmseg_mvp.utils.files import atomic_write
from mmseg_mvp.utils.masks import decode_mask

from .shapes import extra
from .writing import coco_annotations, coco_categories


def write_coco(masks: Mapping[Path, Path], classes: Sequence[str], path: Path, tolerance: float = 1,
               overwrite: bool = False) -> None:
    """Write one COCO file from label maps. Photos are named without their folder.

    Args:
        masks (Mapping[Path, Path]): PNG of label values by photo. Values from the number of classes on are left out.
        classes (Sequence[str]): Names by label value.
        path (Path): New file.
        tolerance (float): See :func:`mmseg_mvp.datasets.annotations.writing.coco_annotations`.
        overwrite (bool): True replaces an existing file.

    Raises:
        UserError: If a mask can't be read, or the file exists and ``overwrite`` is False, or can't be written.
    """
    check_number('tolerance (--tolerance)', tolerance, least=0)
    content = dict(info={}, licenses=[], categories=coco_categories(classes), images=[], annotations=[])
    for image_id, (photo, mask) in enumerate(masks.items(), 1):
        labels = decode_mask(mask.read_bytes(), f'Mask {str(mask)!r}').values
        height, width = labels.shape
        content['images'].append(dict(id=image_id, file_name=photo.name, width=width, height=height))
        for one in coco_annotations(labels, len(classes), tolerance):
            content['annotations'].append(dict(id=len(content['annotations']) + 1, image_id=image_id, **one))
    with atomic_write(path, overwrite) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False), 'utf-8')


def check_coco(path: Path, photos: Sequence[Path], overwrite: bool = False) -> None:
    """Check that a COCO file can be written, or is there already with all photos. Call it before a long computation.

    Raises:
        UserError: If pycocotools is not installed, or the file exists, ``overwrite`` is False, and it lacks a photo or
            can't be read.
    """
    extra('pycocotools.mask', 'A COCO file')
    if overwrite or not path.exists():
        return
    try:
        names = {image['file_name'] for image in json.loads(path.read_text('utf-8'))['images']}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f'{path} exists and is not a COCO file: name another folder, or replace it with '
                        '--overwrite.') from error
    if missing := [photo.name for photo in photos if photo.name not in names]:
        raise UserError(f'{path} exists and lacks {len(missing)} of {len(photos)} photos ({first_three(missing)}): '
                        'move it away to write it again from the existing masks, or replace all results with '
                        '--overwrite.')

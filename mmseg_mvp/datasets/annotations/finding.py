"""Annotations of a file or a folder, recognised by their content."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.file_index import first_three
from mmseg_mvp.utils.text_file import decode_text

from . import coco, cvat, label_studio, labelme, masks
from .records import Source

FORMATS = ('labelme JSON', 'COCO JSON', 'XML of "CVAT for images 1.1"', 'JSON of Label Studio',
           'PNG masks with the names of their values or colours')
MAX_BYTES = 2**29
_JSON = ((labelme.is_labelme, labelme.read_labelme), (coco.is_coco, coco.read_coco),
         (label_studio.is_label_studio, label_studio.read_label_studio))
_MASK_FOLDERS = ('SegmentationClass', 'SegmentationClassPNG')  # VOC's and CVAT's; labelme's
_PICTURES = (b'\x89PNG', b'II*\0', b'MM\0*')


def read_annotations(path: Path, photos: Path, classes: Sequence[str] | None = None) -> Source:
    """Read all annotations of a file, or below a folder.

    Args:
        path (Path): File or folder.
        photos (Path): Folder of the photos, whose pictures are not masks.
        classes (Sequence[str], optional): Names by label value, for masks without a list.

    Raises:
        UserError: If there is no annotation, they are of several kinds, or one is damaged.
    """
    files = [path] if path.is_file() else _files(path)
    sources = [source for source in map(_read, files) if source]
    if not sources:
        return masks.read_masks(_masks(files, path, photos), path if path.is_dir() else path.parent, classes)
    kinds = {source.kind: source.annotations[0].where for source in sources if source.annotations}
    if len(kinds) > 1:
        raise UserError(f'{path} has annotations of several kinds, {" and ".join(list(kinds.values())[:2])}: convert '
                        'one kind at a time, from folders of their own.')
    names = dict.fromkeys(name for source in sources for name in source.names)
    return Source(sources[0].kind, [one for source in sources for one in source.annotations], list(names))


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UserError(f'{folder} does not exist: give the file or the folder of the annotations.')
    paths = (path for path in folder.rglob('*') if not path.name.startswith('.'))
    return sorted(path for path in paths if path.is_file())


def _read(file: Path) -> Source | None:
    """Read a JSON or XML file of a known kind; return None for other files."""
    start = _start(file)
    text = start.lstrip(b'\xef\xbb\xbf\xff\xfe').replace(b'\0', b'').lstrip()
    if start.startswith(b'PK\3\4'):
        raise UserError(f'{str(file)!r} is a zip archive: unpack it, and give the folder.')
    if text.startswith(b'<') and b'<annotations' in text:
        return cvat.read_cvat(cvat.parse(_content(file), file), file)
    if not text.startswith((b'{', b'[')) and file.suffix.lower() != '.json':
        return None
    content = _parse(file)
    reader = next((read for matches, read in _JSON if matches(content)), None)
    if reader is None and file.name not in masks.COLOUR_TABLES and content is not None:
        keys = first_three([*content]) if isinstance(content, dict) else type(content).__name__
        print_log(f'{str(file)!r} is not an annotation of a known kind ({keys}) and is left out.', 'current')
    return reader(content, file) if reader else None


def _parse(file: Path) -> Any:
    """Parse a JSON file. Return None for a file that is not JSON, unless its name says so."""
    text, _ = decode_text(_content(file))
    try:
        return json.loads(text or '')
    except (ValueError, RecursionError) as error:
        if file.suffix.lower() != '.json':
            return None
        raise UserError(f'{str(file)!r} cannot be read as JSON ({str(error)[:80]}): it is damaged or incomplete; '
                        'export it again.') from error


def _start(file: Path) -> bytes:
    try:
        with file.open('rb') as opened:
            return opened.read(4096)
    except OSError as error:
        raise UserError(f'{str(file)!r} cannot be read ({error.strerror}): check its permissions.') from error


def _content(file: Path) -> bytes:
    if file.stat().st_size > MAX_BYTES:
        raise UserError(f'{str(file)!r} has more than {MAX_BYTES >> 20} MiB: export the annotations in parts.')
    return file.read_bytes()


def _masks(files: Sequence[Path], path: Path, photos: Path) -> list[Path]:
    """Return the files with pictures of labels.

    Raises:
        UserError: If there is none, or photos and masks share their folder.
    """
    found = [file for file in files if _start(file).startswith(_PICTURES)]
    inside = [file for file in found if any(part in _MASK_FOLDERS for part in file.relative_to(path).parts[:-1])]
    apart = path.resolve() != photos.resolve()
    found = [file for file in inside or found if not (apart and photos.resolve() in file.resolve().parents)]
    if not found:
        raise UserError(f'{path} has no annotation: expected {", ".join(FORMATS[:-1])}, or {FORMATS[-1]}.')
    if not apart:
        raise UserError(f'{path} holds photos and masks in one folder: move the masks to a folder of their own.')
    return found

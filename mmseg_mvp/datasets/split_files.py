"""Split files (``ann_file``) as people write them: any encoding, suffixes, folders, a second column with the mask."""
import io
import os.path as osp
import re
from collections.abc import Iterator
from pathlib import Path

from mmengine.fileio import LocalBackend, list_from_file, register_backend
from mmseg.datasets import BaseSegDataset

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.file_index import FileIndex
from mmseg_mvp.utils.text_file import decode_text

BACKEND = 'mmseg_mvp.split_file'
_PLAIN = re.compile(r'[^\s,;/\\.][^\s,;\\]*')
_SUFFIX = re.compile(r'\.(jpe?g|png|bmp|tiff?|webp|gif|ppm|pgm)$', re.IGNORECASE)
_NO_LINES = re.compile(r'\s*(\[\s*["\'\[{\]]|\{\s*["\'}]|<[!?]|<html)', re.IGNORECASE)  # JSON, literals, markup
_CONTROL = re.compile(r'[\0-\x08\x0e-\x1f]')
_SEPARATOR = re.compile(r'\s*[\t,;]\s*|\s+')


@register_backend(BACKEND)
class SplitFileBackend(LocalBackend):
    """File backend that reads any split file as mmseg expects it: one image name per line, without suffix.

    A name is relative to the image folder. A line may also have the suffix of the image, the folder of the image from
    the data root, and a second column with the mask.

    Args:
        images (Sequence[str]): Image folder and ``img_suffix``.
        masks (Sequence[str], optional): Mask folder and ``seg_map_suffix``.
        root (str): Data root.
    """

    def __init__(self, images, masks=None, root='') -> None:
        self.images, self.masks, self.root = images, masks, root

    def get_text(self, filepath: str, encoding: str = 'utf-8') -> str:
        """Return the names, one per line.

        Raises:
            UserError: If a line names a file that ``img_suffix`` excludes, or a mask that the data set does not read.
        """
        index = FileIndex()
        return '\n'.join(self._name(number, line, filepath, index) for number, line in read_lines(filepath))

    def _name(self, number: int, line: str, filepath: str, index: FileIndex) -> str:
        folder, suffix = self.images
        for image, mask in _columns(line):
            found = next((path for path in self._places(image, folder, suffix) if path in index), None)
            if found is not None:
                name = self._stem(found, f'Line {number} of split file {filepath!r}, {line!r}')
                self._check_mask(name, mask, f'Line {number} of split file {filepath!r}, {line!r}')
                return name
        return self._missing_name(line)

    def _missing_name(self, line: str) -> str:
        """Return the most likely name of an image that does not exist; it is reported with all other missing images."""
        image, _ = next(_columns(line))
        folder = osp.relpath(self.images[0] or '.', self.root or '.') + '/'
        return image.lstrip('/').removeprefix(folder).removesuffix(self.images[1])

    def _places(self, text: str, folder: str, suffix: str) -> Iterator[str]:
        """Generate the paths that an entry can mean: with and without suffix, from the folder, the root, or as is."""
        for spelled in dict.fromkeys((text, text.replace('\\', '/'))):
            relative = osp.normpath(spelled).lstrip('/')
            for place in (osp.join(folder, relative), osp.join(self.root, relative), spelled):
                yield from (place + suffix, place, _SUFFIX.sub('', place) + suffix)

    def _stem(self, path: str, line: str) -> str:
        folder, suffix = self.images
        start = osp.join(folder, '')
        name = path.removeprefix(start) if path.startswith(start) else osp.relpath(path, folder or '.')
        if name.startswith('..') or not name.endswith(suffix):
            raise UserError(f'{line}, names {path!r}, but the data set reads only {osp.join(folder, "*" + suffix)!r}: '
                            'rename the file, or set img_suffix and data_prefix.img_path.')
        return name.removesuffix(suffix)

    def _check_mask(self, name: str, mask: str, line: str) -> None:
        if not mask or self.masks is None:
            return
        folder, suffix = self.masks
        expected = osp.join(folder, name + suffix)
        places = [*self._places(mask, folder, suffix)]
        if expected not in places and osp.abspath(expected) not in map(osp.abspath, places):
            raise UserError(f'{line}, has the second column {mask!r}, but the data set reads the mask {expected!r}: '
                            'correct data_prefix.seg_map_path and seg_map_suffix, or give one name per line.')


def read_lines(path: str) -> list[tuple[int, str]]:
    """Return the number, from 1, and the text of each line that is not blank.

    Raises:
        UserError: If all lines are blank, or the file is not a list of lines.
    """
    content = Path(path).read_bytes()
    text, _ = _decoded(content)
    if _NO_LINES.match(text) or _CONTROL.search(text):
        raise UserError(f'Split file {path!r} is JSON, markup or a binary file (it begins with {text[:30]!r}): write a '
                        'text file with one image name per line.')
    file = io.StringIO(text, newline=None)  # CR, LF, CRLF end a line
    lines = [(number, line.replace('\ufeff', '').strip()) for number, line in enumerate(file, 1)]
    if not any(line for _, line in lines):
        raise UserError(f'Split file {path!r} has only blank lines: write one image name per line.')
    return [(number, line) for number, line in lines if line]


def list_name(path: str) -> str:
    """Describe a list as the possible cause of missing files."""
    _, encoding = _decoded(Path(path).read_bytes())
    return f', or the list {path!r}' + ('' if encoding.startswith('utf-8') else f' (read as {encoding})')


def use_any_split_file(dataset: BaseSegDataset, cfg: dict) -> None:
    """Have mmseg read the split file of a data set by :class:`SplitFileBackend`, if its own reading would be wrong.

    Args:
        dataset (BaseSegDataset): Data set with mmseg's own ``load_data_list``, lazily built.
        cfg (dict): Its config, whose ``backend_args`` change in place as those of the data set.
    """
    images, masks = dataset.data_prefix['img_path'], dataset.data_prefix.get('seg_map_path')
    if osp.isfile(dataset.ann_file or '') and not _is_plain(dataset):
        cfg['backend_args'] = dataset.backend_args = dict(
            backend=BACKEND, images=[images, dataset.img_suffix], root=dataset.data_root or '',
            masks=None if masks is None else [masks, dataset.seg_map_suffix])


def _is_plain(dataset: BaseSegDataset) -> bool:
    """Check that mmseg reads the same lines, and that each is a name without suffix, folder of images or column."""
    lines = [line for _, line in read_lines(dataset.ann_file)]
    try:
        same = [line.strip() for line in list_from_file(dataset.ann_file)] == lines
    except UnicodeDecodeError:
        return False
    folder = osp.relpath(dataset.data_prefix['img_path'] or '.', dataset.data_root or '.') + '/'
    return same and not any(line.startswith(folder) or _SUFFIX.search(line) or not _PLAIN.fullmatch(line)
                            or dataset.img_suffix and line.endswith(dataset.img_suffix) for line in lines)


def _columns(line: str) -> Iterator[tuple[str, str]]:
    """Generate the readings of a line as image and mask: a division after a suffix, one column, other divisions."""
    pairs = [(line[:match.start()], line[match.end():]) for match in _SEPARATOR.finditer(line)]
    yield from (pair for pair in pairs if _SUFFIX.search(pair[0]))
    yield line, ''
    yield from (pair for pair in pairs if not _SUFFIX.search(pair[0]))


def _decoded(content: bytes) -> tuple[str, str]:
    """Return the text of a list and its encoding.

    All that :func:`decode_text` finds in no Unicode encoding is Latin-1, which has a letter for every byte: names that
    it reads wrong are reported as missing images.
    """
    text, encoding = decode_text(content)
    return (text, encoding) if encoding.startswith('utf') else (content.decode('latin-1'), 'latin-1')

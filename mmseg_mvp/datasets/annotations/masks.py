"""Reading of masks: PNG or TIFF files of label values, or of colours with a table."""
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.masks import decode_mask, unreadable
from mmseg_mvp.utils.text_file import read_text
from mmseg_mvp.vocabularies import class_names

from .records import IGNORE_NAME, IGNORED, Annotation, Shape, Source, label_of

KIND = 'masks'
COLOUR_TABLES = ('labelmap.txt', 'classes.json')
NAME_LISTS = ('classes.txt', 'class_names.txt', 'seg_classes.txt', 'classes.json')
FIX = (f'put a list of the names in the order of the values ({NAME_LISTS[0]}), or a table of the colours '
       f'({COLOUR_TABLES[0]} of CVAT), beside the masks, or give --classes')
Colours = dict[tuple[int, int, int], str]


@dataclass
class MaskAnnotation(Annotation):
    """Mask of one photo; see :class:`Annotation`.

    Attributes:
        content (bytes): Content of the file.
        listed (Sequence[str]): Names by label value.
        colours (Colours): Names by RGB colour; empty if there is no table.
    """
    file: Path = field(default_factory=Path)
    listed: Sequence[str] = ()
    colours: Colours = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return False

    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.listed, *self.colours.values()]))

    def label_map(self, shape: Shape, index: Mapping[str, int]) -> np.ndarray:
        """Read the mask: see :meth:`Annotation.label_map`; the shape of the file counts.

        Raises:
            UserError: If the file cannot be read, or has a value or a colour without name.
        """
        content = self.file.read_bytes()
        if self.colours and _mode(content, self.where) not in ('1', 'L', 'I', 'I;16'):
            return self._by_colour(content, index)
        names = self.listed or list(self.colours.values())
        values = decode_mask(content, self.where).values.astype(np.int64)
        ignored = IGNORE if len(names) <= IGNORE else 2**16 - 1
        if wrong := sorted({*np.unique(values).tolist()} - {*range(len(names)), ignored}):
            raise UserError(f'{self.where} has the label value {wrong[0]}, and the list has {len(names)} names, values '
                            f'0 to {len(names) - 1}: add the name to the list, or set the pixels to {ignored}.')
        table = np.array([*(index[name] for name in names), IGNORED], np.int32)
        return table[np.where(values == ignored, len(names), values)]

    def _by_colour(self, content: bytes, index: Mapping[str, int]) -> np.ndarray:
        with Image.open(BytesIO(content)) as picture:
            pixels = np.asarray(picture.convert('RGB')).astype(np.int64)
        found, inverse = np.unique(pixels @ [65536, 256, 1], return_inverse=True)
        colours = [(code >> 16, code >> 8 & 255, code & 255) for code in found.tolist()]
        if wrong := [colour for colour in colours if colour not in self.colours]:
            raise UserError(f'{self.where} has the colour {wrong[0]}, which the table of colours lacks: add it to the '
                            'table; a picture that was made smaller or saved as JPEG has new colours at edges.')
        return np.array([index[self.colours[colour]] for colour in colours], np.int32)[inverse.reshape(
            pixels.shape[:2])]


def _mode(content: bytes, where: str) -> str:
    try:
        with Image.open(BytesIO(content)) as picture:
            if picture.format in ('JPEG', 'MPO'):
                raise UserError(f'{where} is a JPEG, which changes colours at edges: export the masks as PNG.')
            return picture.mode
    except UserError:
        raise
    except Exception as error:  # each decoder raises its own exceptions
        raise UserError(unreadable(where, error)) from error


def read_masks(files: Sequence[Path], root: Path, classes: Sequence[str] | None = None) -> Source:
    """Prepare the masks of a folder. ``labelmap.txt``, ``classes.json``, ``classes.txt`` or ``classes`` names them.

    Raises:
        UserError: If a table or a list of names can't be read, or a mask of colours has no table.
    """
    colours = next((read_colours(root / name) for name in COLOUR_TABLES if _has_colours(root / name)), {})
    listed = list(classes) if classes else [] if colours else _listed(root)
    annotations = [MaskAnnotation(f'Mask {str(file)!r}', _photos(file, root), None, file=file, listed=listed,
                                  colours=colours) for file in files]
    if not colours:
        _check_values(annotations, listed)
    names = list(dict.fromkeys(label_of(name, 'The list of classes') for name in listed or colours.values()))
    return Source(KIND, annotations, names)


def _photos(file: Path, root: Path) -> tuple[str, ...]:
    name = file.relative_to(root).with_suffix('').as_posix()
    return name, re.sub(r'_(mask|gtFine_labelIds|labelIds|labels?)$', '', name)


def _listed(root: Path) -> list[str]:
    path = next((root / name for name in NAME_LISTS if (root / name).is_file()), None)
    if path is None:
        return []
    lines = [line.strip() for line in read_text(path).split('\n')] if path.suffix == '.txt' else []
    if IGNORE_NAME in lines[:1]:  # labelme's labels.txt gives it the value -1
        lines = lines[1:]
    names = lines if '_background_' in lines else class_names(path)
    return [label_of(name, f'List {str(path)!r}') for name in names if name]


def _check_values(annotations: Sequence[MaskAnnotation], listed: Sequence[str]) -> None:
    for one in annotations:
        mode = _mode(one.file.read_bytes(), one.where)
        if mode[0] not in '1LPI':
            raise UserError(f'{one.where} has pixels of mode {mode!r}, colours, and no table gives their names: put '
                            f'{" or ".join(COLOUR_TABLES)} beside the masks, with one name and colour per class.')
        if not listed:
            raise UserError(f'{one.where} has label values, and no list gives their names: {FIX}.')


def _has_colours(path: Path) -> bool:
    if not path.is_file():
        return False
    return path.suffix == '.txt' or bool(re.search(r'"colou?r"|\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]', read_text(path)))


def read_colours(path: Path) -> Colours:
    """Read a table of colours: CVAT's ``labelmap.txt``, or JSON.

    Lines of ``labelmap.txt`` are ``name:red,green,blue:...``. JSON is a list of ``{"name": ..., "color": ...}``, or a
    dict from names to colours; a colour is ``[red, green, blue]`` or ``"#rrggbb"``.

    Raises:
        UserError: If a line has another form, or two classes share a colour.
    """
    text, where = read_text(path), f'Table {str(path)!r}'
    if path.suffix == '.txt':
        lines = [line.split(':') for line in text.split('\n') if line.strip() and not line.startswith('#')]
        pairs = [(line[0], line[1].split(',') if len(line) > 1 else None) for line in lines]
    else:
        pairs = _from_json(text, where)
    table = {}
    for name, colour in pairs:
        rgb = _rgb(colour, name, where)
        if rgb in table:
            raise UserError(f'{where} gives {table[rgb]!r} and {name!r} the colour {rgb}: give each class a colour.')
        table[rgb] = label_of(name, where)
    return table


def _from_json(text: str, where: str) -> list[tuple]:
    try:
        content = json.loads(text)
        if isinstance(content, dict) and isinstance(content.get('classes'), list):  # Supervisely
            content = content['classes']
        if isinstance(content, dict):
            return list(content.items())
        return [(one.get('name', one.get('title')), one.get('color', one.get('colour'))) for one in content]
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f'{where} is not a JSON list of names and colours ({str(error)[:80]}): write '
                        '[{"name": "tree", "color": "#00ff00"}].') from error


def _rgb(colour: object, name: object, where: str) -> tuple[int, int, int]:
    try:
        if isinstance(colour, str) and re.fullmatch('#[0-9a-fA-F]{6}', colour):
            return tuple(bytes.fromhex(colour[1:]))
        red, green, blue = (int(value) for value in colour)
        if min(red, green, blue) < 0 or max(red, green, blue) > 255:
            raise ValueError
        return red, green, blue
    except (TypeError, ValueError) as error:
        raise UserError(f'{where} gives {name!r} the colour {str(colour)[:40]!r}: expected red, green and blue, 0 to '
                        '255.') from error

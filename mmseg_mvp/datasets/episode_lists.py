"""Readers for HSNet's lists (Min et al., ICCV 2021) of PASCAL-5i, COCO-20i and FSS-1000.

Image names have no file extension. Classes are counted from 0.
"""
import json
import os.path as osp
import re
import reprlib
from collections.abc import Sequence
from typing import Any

from mmseg_mvp.errors import UserError
from mmseg_mvp.unpickling import read_pickle, short
from mmseg_mvp.utils.text_file import read_text

Pairs = list[tuple[str, int]]

_PASCAL_LINE = re.compile(r'([\w-]{1,200})__(\d{1,9})')
_COCO_NAME = re.compile(r'(\w{1,200}2014/\w{1,200})\.jpg')
_PLAIN = 'dicts, lists, tuples, strings and integers'


def read_pascal_list(path: str, classes: Sequence[int]) -> Pairs:
    """Read image names and classes from a list of PASCAL-5i, with lines such as ``2007_000033__01``.

    Classes of the fold, ``classes``, and returned classes count from 0, the file counts from 1.

    Raises:
        UserError: If the list is missing or empty, or a line is malformed or has a class of another fold.
    """
    pairs = []
    for number, line in _numbered_lines(path):
        match = _PASCAL_LINE.fullmatch(line)
        if not match:
            raise UserError(f'Line {number} of list {path!r} is {_shortened(line)}: expected an image and a class '
                            'from 1, such as 2007_000033__01; use the original list of PASCAL-5i.')
        label = int(match[2]) - 1
        if label not in classes:
            raise UserError(f'Line {number} of list {path!r} is {line!r}, but the classes of its fold are '
                            f'{classes[0] + 1} to {classes[-1] + 1}: use the list of this fold.')
        pairs.append((match[1], label))
    return pairs


def read_coco_lists(path: str, num_classes: int) -> dict[int, list[str]]:
    """Read the lists of COCO-20i: image names such as ``val2014/COCO_val2014_000000000042.jpg`` by class.

    Published files are pickles, which can execute code, so only plain data are read. If ``path``, a ``.pkl`` file, is
    missing, the file with the extension ``.json`` is read, with classes as string keys.

    Raises:
        UserError: If both files are missing, or the file is empty, damaged, malformed, or has other objects than plain
            data.
    """
    if not osp.isfile(path) and osp.isfile(path.replace('.pkl', '.json')):
        path = path.replace('.pkl', '.json')
    lists = _load_plain(path)
    if not isinstance(lists, dict) or not lists:
        raise UserError(f'List {path!r} contains {_shortened(lists)}: expected a dict from class to image names; use '
                        'the original list of COCO-20i.')
    return {_coco_class(key, path, num_classes): _coco_names(names, key, path) for key, names in lists.items()}


def read_categories(path: str) -> list[str]:
    """Read a list of FSS-1000, with one category (folder name) per line.

    Raises:
        UserError: If the list is missing or empty, or a line is not a unique folder name.
    """
    categories = []
    for number, line in _numbered_lines(path):
        if re.search(r'[/\\,=]', line) or line in ('.', '..', *categories) or len(line) > 200:
            raise UserError(f'Line {number} of list {path!r} is {_shortened(line)}: expected a unique folder '
                            'name, such as abacus; use the original list of FSS-1000.')
        categories.append(line)
    return categories


def _numbered_lines(path: str) -> list[tuple[int, str]]:
    _content(path)  # a missing or empty list
    lines = read_text(path, 'use the original file of HSNet').splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def _content(path: str) -> bytes:
    content = b''
    if osp.isfile(path):
        with open(path, 'rb') as file:
            content = file.read()
    if not content.strip():
        raise UserError(f'List {path!r} is {"empty" if osp.isfile(path) else "missing"}: copy the folder data/splits '
                        'of the public HSNet code into the data root.')
    return content


def _load_plain(path: str) -> Any:
    content = _content(path)
    try:
        if path.endswith('.json'):
            return json.loads(content)
        return read_pickle(content)
    except Exception as error:  # damaged files raise various exceptions
        reason = short(str(error)) or type(error).__name__
        raise UserError(f'List {path!r} cannot be read ({reason}), expected only {_PLAIN}: '
                        "use the original file of HSNet's data/splits.") from error


def _coco_class(key: Any, path: str, num_classes: int) -> int:
    text = str(key) if isinstance(key, (int, str)) and not isinstance(key, bool) else ''
    if not text.isdecimal() or len(text) > 9 or int(text) >= num_classes:
        raise UserError(f'List {path!r} has a class {_shortened(key)}: expected 0 to {num_classes - 1}; use the '
                        'original list of COCO-20i.')
    return int(text)


def _coco_names(names: Any, key: Any, path: str) -> list[str]:
    if not isinstance(names, (list, tuple)):
        raise UserError(f'Class {_shortened(key)} of list {path!r} contains {_shortened(names)}: expected a '
                        'list of image names; use the original list of COCO-20i.')
    matches = [_COCO_NAME.fullmatch(name) if isinstance(name, str) else None for name in names]
    if None in matches:
        place = matches.index(None)
        raise UserError(f'Entry {place} of class {_shortened(key)} of list {path!r} is {_shortened(names[place])}: '
                        "expected a name such as 'val2014/COCO_val2014_000000000042.jpg'; use the original list.")
    return [match[1] for match in matches]


def _shortened(value: Any) -> str:
    text = reprlib.repr(value)  # repr would expand shared objects repeatedly
    return text if len(text) < 60 else f'{text[:60]}...'

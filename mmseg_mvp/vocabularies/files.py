"""Class lists in files, as published code has them: text, tables (CSV, TSV), JSON and Python literals.

Each reader returns what a caller can also pass in Python: a list of entries, or a dict from names to wordings.
"""
import ast
import csv
import json
import logging
import re
import reprlib
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.text_file import read_text

SEPARATORS = ',;，；、､،؛﹐﹑﹔'
SUFFIXES = ('.txt', '.json', '.csv', '.tsv')
FIX = 'set a text file with one class per line, a table with a column "name", or a JSON list of names'

# Headers of tables and keys of JSON, the more specific first.
_NAMES = ('name', 'names', 'class name', 'label name', 'category name', 'class', 'classes', 'category', 'categories',
          'label', 'labels')
_IDS = ('idx', 'id', 'index', 'class id', 'label id', 'category id', 'train id', 'trainid', 'value')
_WRAPPERS = ('names', 'classes', 'class names', 'categories', 'labels')
_WORDNET = r'n\d{8}'
_SEPARATOR = rf'(?P<mark>\s*[:=.){SEPARATORS}\t]\s*|\s+)'
_NUMBERED = re.compile(rf'(?P<id>\d+|{_WORDNET}){_SEPARATOR}(?P<name>(?!\d+(?:[\s{SEPARATORS}]|$)).+)')
_NAME_AND_ID = re.compile(rf'(?P<name>.*?\S){_SEPARATOR}(?P<id>\d+)')
_NUMBER = re.compile(r'[+-]?[\d.]+')
_MARKUP = re.compile(r'<(!doctype|!--|html|head|body|div|table|svg|\?xml)\b|<!--', re.IGNORECASE)
_MAX_LITERAL = 2**17


def read_class_file(path: Path) -> list | dict:
    """Read a class list: entries in the order of the label values, or a dict from names to wordings.

    The content decides the format: ``[`` or ``{`` begins JSON or a Python literal, a header with a column of names
    begins a table, all else has one class per line.

    Raises:
        UserError: If the file can't be read, or is not a list of names.
    """
    text = read_text(path, FIX).strip()
    if _MARKUP.match(text):
        raise UserError(f'{str(path)!r} is HTML or XML, such as a web page that shows the file: download the file '
                        'itself (on GitHub: Raw).')
    if text.startswith(('[', '{')) or path.suffix.lower() == '.json':
        return _from_json(_parse_literal(text, path), path)
    lines = [line.strip() for line in text.splitlines()]
    names = _from_table(lines, path)
    return _from_lines(lines, path) if names is None else names


def _from_lines(lines: list[str], path: Path) -> list[str]:
    lines = [line.partition('#')[0].strip() for line in lines]
    entries = [line.rstrip(SEPARATORS + ' ') or line for line in lines if line]
    if len(entries) == 1 and (re.search(f'[{SEPARATORS}]', entries[0]) or len(entries[0]) > 60):
        raise UserError(f'Class list {str(path)!r} has a single line, {entries[0][:60]!r}: write one class per line; '
                        'commas separate the synonyms of a class.')
    entries = _without_ids(entries, path) or entries
    if len(entries) > 2 and (all(map(_has_numbers, entries[1:])) or _without_ids(entries[1:], path)):
        raise UserError(f'Class list {str(path)!r} has numbers beside the names, such as {entries[1][:60]!r}: write '
                        'one name per line, or a table with a header and a column "name".')
    return entries


def _without_ids(entries: list[str], path: Path) -> list[str]:
    """Return entries without the ids that begin or end all of them, such as ``0: wall``, or nothing if there are none.

    Behind a blank, numbers such as those of ``grade 1`` and ``grade 2`` are ids only if the names differ without them.
    """
    for pattern in (_NUMBERED, _NAME_AND_ID):
        found = [match.groupdict() for match in map(pattern.fullmatch, entries) if match]
        if len(entries) < 2 or len(found) < len(entries):
            continue
        differ = len({one['name'] for one in found}) == len(found) or all(one['mark'].strip() for one in found)
        if differ and (pattern is _NUMBERED or _consecutive([int(one['id']) for one in found])):
            return _by_id([(one['id'], one['name']) for one in found], path)
    return []


def _has_numbers(entry: str) -> bool:
    """Return True for a number between separators, or two between blanks, such as the colour of ``64 128 64 car``."""
    cells, words = re.split(f'[{SEPARATORS}\t]', entry), re.split(rf'[\s{SEPARATORS}]+', entry)
    return (len(cells) > 1 and any(_NUMBER.fullmatch(cell.strip()) for cell in cells)
            or sum(bool(_NUMBER.fullmatch(word)) for word in words) > 1)


def _from_table(lines: list[str], path: Path) -> list[str] | None:
    """Return the column of names of a table, or None if the first line is not the header of a table."""
    lines = [line for line in lines if line and not line.startswith('#')]
    for delimiter in '\t,;':
        header = [_key(cell) for cell in _cells(lines[:1], delimiter, path)[0]] if lines else []
        index = _find(_IDS, header)
        if _find(_NAMES, header) and (index or path.suffix.lower() in ('.csv', '.tsv')):
            rows = _cells(lines[1:], delimiter, path)
            _check_rows(rows, header, path)
            columns = dict(zip(header, zip(*rows))) if rows else {}
            with_names = [key for key, cells in columns.items() if not all(map(_NUMBER.fullmatch, cells))]
            names = list(columns.get(_find(_NAMES, with_names), ()))
            return _by_id(list(zip(columns[index], names)), path) if index and rows else names
    return None


def _cells(lines: list[str], delimiter: str, path: Path) -> list[list[str]]:
    try:
        return [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    except csv.Error as error:
        raise UserError(f'Table {str(path)!r} cannot be read ({error}): {FIX}.') from error


def _check_rows(rows: list[list[str]], header: list[str], path: Path) -> None:
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f'Row {number} of table {str(path)!r} has {len(row)} cells and the header {len(header)}: '
                            'put quotes around names with commas, or separate synonyms by semicolons.')


def _key(cell: str) -> str:
    return re.sub(r'[\s_-]+', ' ', cell.strip().casefold())


def _find(known: tuple[str, ...], keys: list[str]) -> str | None:
    return next((key for key in known if key in keys), None)


def _parse_literal(text: str, path: Path) -> Any:
    """Parse JSON, or a small Python literal such as ``{0: 'tench, Tinca tinca'}``."""
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, path))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        reason = str(error)
    try:
        if len(text) < _MAX_LITERAL:
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise UserError(f'Class list {str(path)!r} is not valid JSON ({reason[:100]}): {FIX}.')


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict:
    keys = [key for key, _ in pairs]
    if twice := [key for index, key in enumerate(keys) if key in keys[:index]] if len({*keys}) < len(keys) else []:
        raise UserError(f'Key {twice[0]!r} stands more than once in a dict of {str(path)!r}: write a list of names.')
    return dict(pairs)


def _from_json(value: Any, path: Path) -> list | dict:
    if isinstance(value, dict):
        wrapped = [held for key, held in value.items()
                   if _key(str(key)) in _WRAPPERS and isinstance(held, (list, dict))]
        return _from_json(wrapped[0], path) if wrapped else _from_dict(value, path)
    if not isinstance(value, (list, tuple)):
        raise UserError(f'Class list {str(path)!r} holds a {type(value).__name__}: {FIX}.')
    entries = [_entry(item, number, path) for number, item in enumerate(value, 1)]
    items = [_lower_keys(item) for item in value if isinstance(item, dict)]
    index = _find(_IDS, list(items[0])) if items else None
    if index and len(items) == len(value) and all(_is_id(item.get(index)) for item in items):
        return _by_id([(item[index], entry) for item, entry in zip(items, entries)], path)
    return entries


def _lower_keys(item: dict) -> dict:
    return {_key(str(key)): held for key, held in item.items()}


def _from_dict(value: dict, path: Path) -> list | dict:
    """Read id -> name, name -> id, name -> wordings, or name -> anything."""
    held = list(value.values())
    if value and all(_is_id(key) for key in value):
        return _from_json([dict(item, id=key) if isinstance(item, dict) else dict(id=key, name=item)
                           for key, item in value.items()], path)
    if all(_is_id(item) for item in held) and _consecutive([int(item) for item in held]):
        return _by_id([(item, name) for name, item in value.items()], path)
    return value if _are_wordings(held) else list(value)


def _are_wordings(values: list) -> bool:
    """Return True for lists of strings, and for strings that differ and are not colours such as ``#ff0000``."""
    if all(isinstance(value, list) and value and all(isinstance(one, str) for one in value) for value in values):
        return True
    return (all(isinstance(value, str) and re.match(r'\s*[^\W\d_]', value) for value in values)
            and len({*values}) == len(values))


def _entry(item: Any, number: int, path: Path) -> str:
    """Return an item of JSON as an entry: a string, a list of synonyms, or a dict with a name."""
    named = _lower_keys(item) if isinstance(item, dict) else dict(name=item)
    name = named.get(_find(_NAMES, list(named)))
    if isinstance(name, (list, tuple)) and name and all(isinstance(part, str) for part in name):
        name = ', '.join([part for part in name if not re.fullmatch(_WORDNET, part)] or name)
    if not isinstance(name, str):
        raise UserError(f'Entry {number} of class list {str(path)!r} is {reprlib.repr(item)}, without a name: write '
                        'each class as a string, or as a dict with a "name".')
    return name


def _is_id(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)
            or isinstance(value, str) and value.isdecimal() and len(value) < 10)


def _consecutive(ids: list[int]) -> bool:
    return bool(ids) and sorted(ids) == list(range(min(ids), min(ids) + len(ids)))


def _by_id(pairs: list[tuple[str | int, str]], path: Path) -> list[str]:
    """Sort names by numeric ids and number equal names, which the ids tell apart. Warn if ids are missing."""
    if all(_is_id(index) for index, _ in pairs):
        pairs = sorted(((int(index), name) for index, name in pairs), key=lambda pair: pair[0])
        if not _consecutive([index for index, _ in pairs]):
            print_log(f'The ids of class list {str(path)!r} have gaps or repeat, but label values are positions: the '
                      f'last of the {len(pairs)} classes, {pairs[-1][1]!r}, has the id {pairs[-1][0]} and the label '
                      f'value {len(pairs) - 1}.', 'current', logging.WARNING)
    entries = []
    for _, name in pairs:
        earlier = entries.count(name)
        entries.append(name)
        if earlier and not re.search(f'[{SEPARATORS}=]', name):
            entries[-1] = f'{name} ({earlier + 1}) = {name}'
    return entries

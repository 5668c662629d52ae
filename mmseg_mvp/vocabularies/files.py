"""Class lists in files, as published code has them: text, tables (CSV, TSV), JSON, YAML and Python literals.

Each reader returns what a caller can also pass in Python: a list of entries, or a dict from names to wordings.
"""
import csv
import re
from pathlib import Path

from mmengine.logging import print_log

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.text_file import read_text

from .columns import FIX, IDS, NAMES, SEPARATORS, WORDNET, by_id, consecutive, find, find_ids, normalised
from .literals import from_literal

SUFFIXES = ('.txt', '.json', '.yaml', '.yml', '.csv', '.tsv')
_SEPARATOR = rf'(?P<mark>\s*[:=.){SEPARATORS}\t]\s*|\s+)'
_NUMBERED = re.compile(rf'\(?(?P<id>\d+|{WORDNET}){_SEPARATOR}(?P<name>(?!\d+(?:[\s{SEPARATORS}]|$)).+)')
_NAME_AND_ID = re.compile(rf'(?P<name>.*?\S){_SEPARATOR}(?P<id>\d+)')
_LABELME_IGNORED = '__ignore__'  # has the id -1 in its labels.txt
_MAX_LINE = 1000  # longer lines hold no name and slow down the expressions
_NUMBER = re.compile(r'[+-]?[\d.]+')
_MARKUP = re.compile(r'<(!doctype|html|head|body|div|table|svg|\?xml)\b', re.IGNORECASE)


def read_class_file(path: Path) -> list | dict:
    """Read a class list: entries in the order of the label values, or a dict from names to wordings.

    The content decides the format: ``[`` or ``{`` begins JSON or a Python literal, a header with a column of names
    begins a table, all else has one class per line. ``.json``, ``.yaml`` and ``.yml`` are what their name says.

    Raises:
        UserError: If the file can't be read, or is not a list of names.
    """
    text = read_text(path, FIX).strip()
    if _MARKUP.match(text):
        raise UserError(f'{str(path)!r} is HTML or XML, such as a web page that shows the file: download the file '
                        'itself (on GitHub: Raw).')
    if text.startswith(('[', '{')) or path.suffix.lower() in ('.json', '.yaml', '.yml'):
        return from_literal(text, path)
    lines = [line.strip() for line in text.splitlines()]
    names = _from_table(lines, path)
    return _from_lines(lines, path) if names is None else names


def _from_lines(lines: list[str], path: Path) -> list[str]:
    lines = [line.partition('#')[0].strip() for line in lines]
    entries = [line.rstrip(SEPARATORS + ' ') or line for line in lines if line]
    if len(entries) == 1 and (re.search(f'[{SEPARATORS}]', entries[0]) or len(entries[0]) > 60):
        raise UserError(f'Class list {str(path)!r} has a single line, {entries[0][:60]!r}: write one class per line; '
                        'commas separate the synonyms of a class.')
    if len(entries) > 1 and (normalised(entries[0]) in NAMES or entries[0] == _LABELME_IGNORED):
        print_log(f'The first line of class list {str(path)!r}, {entries[0]!r}, is not read as a class.', 'current')
        del entries[0]
    entries = _without_ids(entries, path) or entries
    if len(entries) > 2 and (all(map(_has_numbers, entries[1:])) or _without_ids(entries[1:], path)):
        raise UserError(f'Class list {str(path)!r} has numbers beside the names, such as {entries[1][:60]!r}: write '
                        'one name per line, or a table with a header and a column "name".')
    return entries


def _without_ids(entries: list[str], path: Path) -> list[str]:
    """Return entries without the ids that begin or end all of them, such as ``0: wall``, or nothing if there are none.

    Behind a blank, numbers such as those of ``grade 1`` and ``grade 2`` are ids only if the names differ without them.
    """
    if len(entries) < 2 or max(map(len, entries)) > _MAX_LINE:
        return []
    for pattern in (_NUMBERED, _NAME_AND_ID):
        found = [match.groupdict() for match in map(pattern.fullmatch, entries) if match]
        if len(found) < len(entries):
            continue
        differ = len({one['name'] for one in found}) == len(found) or all(one['mark'].strip() for one in found)
        if differ and (pattern is _NUMBERED or consecutive([int(one['id']) for one in found])):
            return by_id([(one['id'], one['name']) for one in found], path)
    return []


def _has_numbers(entry: str) -> bool:
    """Return True for a number between separators, or two between blanks, such as the colour of ``64 128 64 car``."""
    cells, words = re.split(f'[{SEPARATORS}\t]', entry), re.split(rf'[\s{SEPARATORS}]+', entry)
    return (len(cells) > 1 and any(_NUMBER.fullmatch(cell.strip()) for cell in cells)
            or sum(bool(_NUMBER.fullmatch(word)) for word in words) > 1)


def _from_table(lines: list[str], path: Path) -> list[str] | None:
    """Return the column of names of a table, or None if the first line is not the header of a table."""
    lines = [line for line in lines if line and not line.startswith('#')]
    if not lines or len(lines[0]) > _MAX_LINE:
        return None
    lines = lines[1:] if re.fullmatch('sep=.', lines[0]) else lines  # Excel's note of the delimiter
    for delimiter in '\t,;':
        header = [normalised(cell) for cell in _cells(lines[:1], delimiter, path)[0]]
        if find(NAMES, header) and (find(IDS, header) or path.suffix.lower() in ('.csv', '.tsv')):
            rows = _cells(lines[1:], delimiter, path)
            _check_rows(rows, header, path)
            columns = dict(zip(header, zip(*rows))) if rows else {}
            with_names = [key for key, cells in columns.items() if not all(map(_NUMBER.fullmatch, cells))]
            names = list(columns.get(find(NAMES, with_names), ()))
            index = find_ids(header, path)
            return by_id(list(zip(columns[index], names)), path) if index and rows else names
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

"""Names and ids of classes in tables and JSON: column headers, keys, and the order of the ids."""
import logging
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

SEPARATORS = ',;，；、､،؛﹐﹑﹔'
FIX = 'set a text file with one class per line, a table with a column "name", or a JSON list of names'

# Headers of tables and keys of JSON, the more specific first.
NAMES = ('name', 'names', 'class name', 'label name', 'category name', 'class', 'classes', 'category', 'categories',
         'label', 'labels')
IDS = ('idx', 'id', 'index', 'class id', 'label id', 'category id', 'train id', 'trainid', 'value')
WORDNET = r'n\d{8}'


def normalised(header: str) -> str:
    return re.sub(r'[\s_-]+', ' ', header.strip().casefold())


def find(known: tuple[str, ...], keys: Iterable[str]) -> str | None:
    return next((key for key in known if key in keys), None)


def is_id(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)
            or isinstance(value, str) and value.isdecimal() and len(value) < 10)


def consecutive(ids: list[int]) -> bool:
    return bool(ids) and sorted(ids) == list(range(min(ids), min(ids) + len(ids)))


def by_id(pairs: list[tuple[str | int, str]], path: Path) -> list[str]:
    """Sort names by numeric ids and number equal names, which the ids tell apart. Warn if ids are missing."""
    if all(is_id(index) for index, _ in pairs):
        pairs = sorted(((int(index), name) for index, name in pairs), key=lambda pair: pair[0])
        if not consecutive([index for index, _ in pairs]):
            print_log(f'The ids of class list {str(path)!r} have gaps or repeat, but label values are positions: the '
                      f'last of the {len(pairs)} classes, {pairs[-1][1]!r}, has the id {pairs[-1][0]} and the label '
                      f'value {len(pairs) - 1}.', 'current', logging.WARNING)
    counts, entries = Counter(), []
    for _, name in pairs:
        counts[name] += 1
        again = counts[name] > 1 and not re.search(f'[{SEPARATORS}=]', name)
        entries.append(f'{name} ({counts[name]}) = {name}' if again else name)
    return entries

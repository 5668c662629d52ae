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


def find_ids(keys: Iterable[str], path: Path) -> str | None:
    """Return the column or key of the ids; the log names it if there are several."""
    found = [key for key in IDS if key in keys]
    if len(found) > 1:
        print_log(f'Class list {str(path)!r} has the ids {", ".join(map(repr, found))}: {found[0]!r} decides the label '
                  'values.', 'current')
    return found[0] if found else None


def is_id(value: Any) -> bool:
    """Return True for an integer, also as text or as a float such as 3.0, which pandas writes."""
    if isinstance(value, str):
        return re.fullmatch(r'-?\d{1,9}(\.0*)?', value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value // 1


def consecutive(ids: list[int]) -> bool:
    """Return True if ids count from 0 or more without gaps, in any order."""
    return bool(ids) and min(ids) >= 0 and sorted(ids) == list(range(min(ids), min(ids) + len(ids)))


def by_id(pairs: list[tuple[str | int, str]], path: Path) -> list[str]:
    """Sort names by numeric ids and number equal names, which the ids tell apart. Warn if ids do not count up."""
    known = [is_id(index) for index, _ in pairs]
    if all(known):
        pairs = sorted(((int(float(index)), name) for index, name in pairs), key=lambda pair: pair[0])
        if not consecutive([index for index, _ in pairs]):
            print_log(f'The ids of class list {str(path)!r} have gaps, repeat or are negative, but label values are '
                      f'positions: the last of the {len(pairs)} classes, {pairs[-1][1]!r}, has the id {pairs[-1][0]} '
                      f'and the label value {len(pairs) - 1}.', 'current', logging.WARNING)
    elif any(known):
        print_log(f'{known.count(False)} of the {len(pairs)} ids of class list {str(path)!r} are not numbers, such as '
                  f'{pairs[known.index(False)][0]!r}: the label values follow the order of the file.', 'current',
                  logging.WARNING)
    counts, entries = Counter(), []
    for _, name in pairs:
        counts[name] += 1
        again = counts[name] > 1 and not re.search(f'[{SEPARATORS}=]', name)
        entries.append(f'{name} ({counts[name]}) = {name}' if again else name)
    return entries

"""Class lists in JSON or YAML, or as a Python literal such as ``{0: 'tench, Tinca tinca'}``."""
import ast
import json
import logging
import re
import reprlib
from collections import Counter
from pathlib import Path
from typing import Any

import yaml  # a requirement of mmengine
from mmengine.logging import print_log

from mmseg_mvp.errors import UserError

from .columns import FIX, NAMES, WORDNET, by_id, consecutive, find, find_ids, is_id, normalised

_WRAPPERS = ('names', 'classes', 'class names', 'categories', 'labels')
_MAX_LITERAL = 2**17


def from_literal(text: str, path: Path) -> list | dict:
    """Return entries, or a dict from names to wordings.

    Raises:
        UserError: If the text is neither JSON, YAML nor a literal of names.
    """
    parse = _parse_yaml if path.suffix.lower() in ('.yaml', '.yml') else _parse_literal
    return _from_value(_without_wrapper(parse(text, path)), path)


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


def _parse_yaml(text: str, path: Path) -> Any:
    try:
        return yaml.load(text, _UniqueKeys)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = ' '.join(str(error).split())[:100]
        raise UserError(f'Class list {str(path)!r} is not valid YAML ({reason}): {FIX}.') from error


class _UniqueKeys(yaml.SafeLoader):
    """Reader of plain values that refuses a key that stands twice. YAML itself would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        if len({*keys}) < len(keys):
            raise ValueError(f'key {max(keys, key=keys.count)!r} stands more than once')
        return super().construct_mapping(node, deep)


def _unique(pairs: list[tuple[str, Any]], path: Path) -> dict:
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise UserError(f'Key {twice[0]!r} stands more than once in a dict of {str(path)!r}: write a list of names.')
    return dict(pairs)


def _without_wrapper(value: Any) -> Any:
    """Return the list of a dict such as ``{"categories": [...]}``, else the value."""
    while isinstance(value, dict):
        wrapped = [held for key, held in value.items()
                   if normalised(str(key)) in _WRAPPERS and isinstance(held, (list, dict))]
        if not wrapped:
            break
        value = wrapped[0]
    return value


def _from_value(value: Any, path: Path) -> list | dict:
    if isinstance(value, dict):
        return _from_dict(value, path)
    if not isinstance(value, (list, tuple)):
        raise UserError(f'Class list {str(path)!r} holds a {type(value).__name__}: {FIX}.')
    entries = [_entry(item, number, path) for number, item in enumerate(value, 1)]
    items = [_lower_keys(item) for item in value if isinstance(item, dict)]
    index = find_ids(items[0], path) if items else None
    if index and len(items) == len(value):
        return by_id([(item.get(index), entry) for item, entry in zip(items, entries)], path)
    return entries


def _lower_keys(item: dict) -> dict:
    return {normalised(str(key)): held for key, held in item.items()}


def _from_dict(value: dict, path: Path) -> list | dict:
    """Read id -> name, name -> id, name -> wordings, or name -> anything of one type."""
    held = list(value.values())
    if value and all(map(is_id, value)):
        return _from_value([dict(item, id=key) if isinstance(item, dict) else dict(id=key, name=item)
                           for key, item in value.items()], path)
    if held and all(isinstance(item, dict) for item in held):
        return _from_value([dict(item, name=name) for name, item in value.items()], path)
    if all(map(is_id, held)) and len({*held}) == len(held):
        ids = [int(float(item)) for item in held]
        if consecutive(ids):
            return by_id([(item, name) for name, item in value.items()], path)
        if ids != sorted(ids):
            print_log(f'The values of the dict in class list {str(path)!r} have gaps and are not read as ids: the '
                      'label values follow the order of the keys.', 'current', logging.WARNING)
    if _are_wordings(value, path):
        return value
    if rows := [name for name, item in value.items() if _is_table(item)]:
        raise UserError(f'Class list {str(path)!r} has a list of annotations under {rows[0]!r}, but no names: {FIX}.')
    types = sorted({type(item).__name__ for item in held if item is not None})
    if len(types) > 1:
        raise UserError(f'Class list {str(path)!r} is a dict with values of several types ({", ".join(types)}), as in '
                        f'a config: {FIX}.')
    return list(value)


def _is_table(item: Any) -> bool:
    """Return True for a list of rows, such as the images of COCO's JSON."""
    return isinstance(item, list) and any(isinstance(row, (dict, list)) for row in item)


def _are_wordings(value: dict, path: Path) -> bool:
    """Return True for lists of strings, and for strings that differ and are not colours such as ``#ff0000``."""
    groups = [held if isinstance(held, list) else [held] for held in value.values()]
    strings = [held for held in value.values() if isinstance(held, str)]
    renamed = strings or [group for name, group in zip(value, groups) if name not in group]
    wordings = all(groups) and len({*strings}) == len(strings) and all(
        isinstance(one, str) and re.match(r'\s*[^\W\d_]', one) for group in groups for one in group)
    if wordings and renamed:
        print_log(f'CLIP reads the values of the dict in class list {str(path)!r}, such as {renamed[0]!r}: write a '
                  'list of the keys if CLIP should read the keys.', 'current')
    return wordings


def _entry(item: Any, number: int, path: Path) -> str:
    """Return an item of JSON as an entry: a string, a list of synonyms, or a dict with a name."""
    named = _lower_keys(item) if isinstance(item, dict) else dict(name=item)
    name = named.get(find(NAMES, list(named)))
    if isinstance(name, (list, tuple)) and name and all(isinstance(part, str) for part in name):
        name = ', '.join([part for part in name if not re.fullmatch(WORDNET, part)] or name)
    if not isinstance(name, str):
        raise UserError(f'Entry {number} of class list {str(path)!r} is {reprlib.repr(item)}, without a name: write '
                        'each class as a string, or as a dict with a "name".')
    return name

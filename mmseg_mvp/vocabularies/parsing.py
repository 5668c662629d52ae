"""Parsing of vocabularies: class names and their wordings for a text tower.

A file has one class per line, a list one class per entry, in the order of the label values. ``puppy, young dog`` is the
class `puppy` with two synonyms. ``wall-concrete = concrete wall`` gives a class another wording than its name. Quotes
keep spaces at the ends of a name. In files, ``#`` starts a comment. In a single string, ``red house, tree, sky``,
commas separate classes, so synonyms are not possible.
"""
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmseg_mvp.errors import UserError

from .splits import UNSEEN, split_names

Vocabulary = dict[str, tuple[str, ...]]
Source = str | Path | Sequence[str] | Vocabulary

_SHIPPED = Path(__file__).parent
_MAX_FILE = 2 ** 26
_NAMED = re.compile(r"(?:'(?P<quoted>[^']+)'|(?P<bare>.+?))\s+=(?:\s+(?P<wordings>.*))?$")


def label_sets() -> list[str]:
    """Return the names of the shipped label sets."""
    return sorted(path.stem for path in _SHIPPED.glob('*.txt'))


def load_vocabulary(source: Source) -> Vocabulary:
    """Read a vocabulary.

    Args:
        source (Source): Shipped label set or one side of its split (``'voc20'``, ``'voc20:seen'``, ``'voc20:unseen'``),
            path of a ``.txt`` file, sequence of strings with one class each, string of names separated by commas, or
            vocabulary, whose names are kept unchanged.

    Returns:
        dict[str, tuple[str, ...]]: Class names with their wordings, in the order of the label values. Names keep
        underscores; wordings have spaces instead.

    Raises:
        UserError: If the label set, its split or the file does not exist, or the source has a wrong type, is empty, has
            an empty entry, a name with a line break, or a duplicate name.
    """
    if isinstance(source, Path) or (isinstance(source, str) and source.endswith('.txt')):
        return _parse(_file_entries(Path(source)), str(source))
    if isinstance(source, str) and (',' in source or not source.strip()):
        return _parse([part.strip() for part in source.split(',') if part.strip()], 'the class list')
    if isinstance(source, str):
        return _shipped(source)
    if isinstance(source, dict):
        return _checked([(name, _split(wordings)) for name, wordings in source.items()], 'the class list')
    if isinstance(source, (bytes, set, frozenset)) or not isinstance(source, Iterable):  # sets are unordered
        raise UserError(f'The classes are given as {type(source).__name__}: set comma-separated names, a list of '
                        f'names, a dict of names and their wordings, a label set, or the path of a .txt file.')
    return _parse(list(source), 'the class list')


def class_names(source: Source) -> list[str]:
    """Return only the names of :func:`load_vocabulary`, as for ``metainfo=dict(classes=...)``."""
    return list(load_vocabulary(source))


def class_entries(source: Source) -> list[str]:
    """Return the classes of :func:`load_vocabulary` as entries, such as ``'pottedplant = potted plant'``.

    Raises:
        UserError: As in :func:`load_vocabulary`, or if a name cannot be written as an entry.
    """
    vocabulary = load_vocabulary(source)
    entries = {name: _entry(name, wordings) for name, wordings in vocabulary.items()}
    strange = [name for name, entry in entries.items() if _parse_entry(entry, '') != (name, vocabulary[name])]
    if strange:
        raise UserError(f"The class name {strange[0]!r} cannot be written as a list entry: remove ' and =, and "
                        'spaces at its ends.')
    return list(entries.values())


def _entry(name: str, wordings: tuple[str, ...]) -> str:
    if wordings == (name,):
        return name
    quoted = f"'{name}'" if name != name.strip() or ' =' in name else name
    return f'{quoted} = {", ".join(wordings)}'


def _shipped(spec: str) -> Vocabulary:
    label_set, _, side = spec.partition(':')
    if label_set not in label_sets():
        raise UserError(f'Unknown label set {label_set!r}: set one of {", ".join(label_sets())}, the path of a .txt '
                        'file with one class per line, or at least two class names, separated by commas.')
    vocabulary = _parse(_file_entries(_SHIPPED / f'{label_set}.txt'), label_set)
    if not side and spec == label_set:
        return vocabulary
    if side not in ('seen', 'unseen') or label_set not in UNSEEN:
        sides = f", '{label_set}:seen' or '{label_set}:unseen'" if label_set in UNSEEN else ', which has no such split'
        raise UserError(f'{spec!r} is not a part of label set {label_set!r}: write {label_set!r}{sides}.')
    seen, unseen = split_names(vocabulary, UNSEEN[label_set], f'label set {label_set!r}')
    return {name: vocabulary[name] for name in (seen if side == 'seen' else unseen)}


def _file_entries(path: Path) -> list[str]:
    try:
        if os.path.exists(path) and (not os.path.isfile(path) or os.path.getsize(path) > _MAX_FILE):
            raise OSError('not a file of at most 64 MiB')  # reading a device or a pipe can block forever
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a null byte in the path
        raise UserError(f'Vocabulary file {str(path)!r} cannot be read ({type(error).__name__}): set the path of a '
                        'UTF-8 text file with one class per line.') from error
    return [line for line in (line.partition('#')[0].strip() for line in lines) if line]


def _parse(entries: list[str], where: str) -> Vocabulary:
    return _checked([_parse_entry(entry, where) for entry in entries], where)


def _checked(pairs: list[tuple[str, tuple[str, ...]]], where: str) -> Vocabulary:
    """Convert pairs of name and wordings to a vocabulary. Raise UserError if it is not valid."""
    if not pairs:
        raise UserError(f'No class in {where}: add at least one.')
    for pair in pairs:
        _check_pair(*pair, where)
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise UserError(f'Class names {twice} stand more than once in {where}: write one entry per class, with its '
                        'synonyms separated by commas.')
    return dict(pairs)


def _parse_entry(entry: str, where: str) -> tuple[str, tuple[str, ...]]:
    if not isinstance(entry, str):
        raise UserError(f'Entry {entry!r} of {where} is of type {type(entry).__name__}: write each class as a string.')
    named = _NAMED.match(entry.strip())
    text = (named['wordings'] or '') if named else entry
    wordings = _split(text)
    # Without comma or '=', the name stays unchanged, because METAINFO lists have names like 'bed ' (ADE20K).
    bare = text.split(',')[0].strip() if ',' in text else text
    name = (named['quoted'] or named['bare']) if named else bare
    if not name or not all(wordings):
        raise UserError(f'Entry {entry!r} of {where} has an empty name or wording: write `wording, synonym` or '
                        '`name = wording, synonym`.')
    return name, wordings


def _split(wordings: str | Iterable[str]) -> tuple[str, ...]:
    """Split wordings (a string or several) at commas, and normalise underscores and spaces."""
    parts = [wordings] if isinstance(wordings, str) else list(wordings) if isinstance(wordings, Iterable) else [None]
    if not all(isinstance(part, str) for part in parts):
        raise UserError(f'The wordings {wordings!r} of a class are not strings: write a list of strings.')
    return tuple(' '.join(wording.replace('_', ' ').split()) for part in parts for wording in part.split(','))


def _check_pair(name: str, wordings: tuple[str, ...], where: str) -> None:
    if not isinstance(name, str):
        raise UserError(f'The class name {name!r} of {where} is of type {type(name).__name__}: write it as a string.')
    if not name.strip() or not wordings or not all(wordings):
        raise UserError(f'Class {name!r} of {where} has an empty name or wording: write at least one letter in both.')
    # Control characters except tab, surrogates, line and paragraph separators.
    letters = {*name, *''.join(wordings)} - {'\t'}
    if any(unicodedata.category(letter) in ('Cc', 'Cs', 'Zl', 'Zp') for letter in letters):
        raise UserError(f'Class {name!r} of {where} has a line break or another unprintable character: '
                        f'remove it, and write one class per line.')

"""Parsing of vocabularies: class names and their wordings for a text tower.

A list has one class per entry, in the order of the label values. ``puppy, young dog`` is the class `puppy` with two
synonyms, separated by commas or semicolons. ``wall-concrete = concrete wall`` gives a class another wording than its
name. Quotes keep spaces at the ends of a name. Text files have one entry per line; ``#`` starts a comment. In a single
string, ``red house, tree, sky``, separators separate classes, so synonyms are not possible.
"""
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmseg_mvp.errors import UserError

from .columns import FIX, SEPARATORS
from .distinct import distinct_names
from .files import SUFFIXES, read_class_file
from .splits import UNSEEN, split_names

Vocabulary = dict[str, tuple[str, ...]]
Source = str | Path | Sequence[str] | Vocabulary

_SHIPPED = Path(__file__).parent
_SEPARATOR = re.compile(f'[{SEPARATORS}]')
_INVISIBLE = re.compile('[\u00ad\u200b\u2060\ufeff]')  # left in copied text; CLIP would read them
_LONGEST_NAME = 1000
# Numbers, file names, and stems of pictures, such as COCO_val2014_000000000042 (with spaces instead of underscores).
_NOT_A_NAME = re.compile(r'[\W_]*\d[\W\d_]*|.*\.(?:jpe?g|png|tiff?|bmp|webp|txt|json|ya?ml|[ct]sv)|.*\d{4}',
                         re.IGNORECASE)
# Remains of a table, of markup or of code: brackets, bars, tabs, bullets, and quotes around a whole entry.
_MARKS = re.compile(r'.*[\[\]{}<>|"\t]|[-*•]\s|\'.*\'$', re.DOTALL)
_NAMED = re.compile(r"(?:'(?P<quoted>[^']+)'\s*|(?P<bare>.+?))(?<=\s)=(?:\s(?P<wordings>.*))?$")


def label_sets() -> list[str]:
    """Return the names of the shipped label sets."""
    return sorted(path.stem for path in _SHIPPED.glob('*.txt'))


def load_vocabulary(source: Source) -> Vocabulary:
    """Read a vocabulary.

    Args:
        source (Source): Shipped label set or one side of its split (``'voc20'``, ``'voc20:seen'``, ``'voc20:unseen'``),
            path of a file (``.txt``, ``.json``, ``.yaml``, ``.csv``, ``.tsv``, see ``docs/concepts.md``), sequence of
            strings with one class each, string of names separated by commas or by semicolons, or vocabulary, whose
            names are kept unchanged.

    Returns:
        dict[str, tuple[str, ...]]: Class names with their wordings, in the order of the label values. Names keep
        underscores; wordings have spaces instead. Classes of one name and different wordings get a suffix,
        ``crane (bird)``.

    Raises:
        UserError: If the label set, its split or the file does not exist, or the source has a wrong type, is empty, is
            not a list of names, or has an empty entry, a name with a line break, or the same class twice.
    """
    if isinstance(source, Path) or _is_file(source):
        return _from_file(Path(source).expanduser())
    if isinstance(source, str) and (_SEPARATOR.search(source) or not source.strip()):
        return _parse(separate(source), 'the class list', typed=True)
    if isinstance(source, str):
        return _shipped(source)
    if isinstance(source, dict):
        return _checked([(name, _split(wordings)) for name, wordings in source.items()], 'the class list')
    if isinstance(source, (bytes, set, frozenset)) or not isinstance(source, Iterable):  # sets are unordered
        raise UserError(f'The classes are given as {type(source).__name__}: set comma-separated names, a list of '
                        f'names, a dict of names and their wordings, a label set, or the path of a file.')
    return _parse(list(source), 'the class list')


def separate(text: str) -> list[str]:
    """Split a string at its commas or at its semicolons, also full-width ones, into class names.

    Raises:
        UserError: If the string has both commas and semicolons.
    """
    commas = re.sub('[；؛﹔]', ';', re.sub('[，、､،﹐﹑]', ',', text))
    if ',' in commas and ';' in commas:
        raise UserError(f'The class list {_shortened(text)} has commas and semicolons: separate classes by one of '
                        'them, and write classes with synonyms as a list or a file.')
    return [part.strip() for part in re.split('[,;]', commas) if part.strip()]


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


def _is_file(source: Source) -> bool:
    """Return True for a string with the suffix of a class list, or the path of a file that is not a label set."""
    if not isinstance(source, str) or source in label_sets():
        return False
    return source.lower().endswith(SUFFIXES) or os.path.isfile(os.path.expanduser(source))


def _from_file(path: Path) -> Vocabulary:
    held = read_class_file(path)
    if isinstance(held, dict):
        return _checked([(name, _split(wordings)) for name, wordings in held.items()], str(path))
    return _parse(held, str(path), typed=True)


def _shipped(spec: str) -> Vocabulary:
    label_set, _, side = spec.partition(':')
    if label_set not in label_sets():
        raise UserError(f'{_shortened(label_set)} is a single class or an unknown label set: set at least two class '
                        f'names, separated by commas, the path of a file with one class per line, or one of the label '
                        f'sets {", ".join(label_sets())}.')
    vocabulary = _from_file(_SHIPPED / f'{label_set}.txt')
    if not side and spec == label_set:
        return vocabulary
    if side not in ('seen', 'unseen') or label_set not in UNSEEN:
        sides = f", '{label_set}:seen' or '{label_set}:unseen'" if label_set in UNSEEN else ', which has no such split'
        raise UserError(f'{spec!r} is not a part of label set {label_set!r}: write {label_set!r}{sides}.')
    seen, unseen = split_names(vocabulary, UNSEEN[label_set], f'label set {label_set!r}')
    return {name: vocabulary[name] for name in (seen if side == 'seen' else unseen)}


def _parse(entries: list[str], where: str, typed: bool = False) -> Vocabulary:
    """Convert entries to a vocabulary. Refuse quotes and brackets around names in files and in a ``typed`` string."""
    if marked := [entry for entry in entries if typed and isinstance(entry, str) and _MARKS.match(entry)]:
        raise UserError(f'Entry {_shortened(marked[0])} of {where} has a quote, bracket, bar, tab or bullet: write '
                        f'only the name, or {FIX}.')
    pairs = [_parse_entry(entry, where) for entry in entries]
    _check_are_names(pairs, where)
    return _checked(pairs, where)


def _checked(pairs: list[tuple[str, tuple[str, ...]]], where: str) -> Vocabulary:
    """Convert pairs of name and wordings to a vocabulary. Raise UserError if it is not valid."""
    if not pairs:
        raise UserError(f'No class in {where}: add at least one.')
    for pair in pairs:
        _check_pair(*pair, where)
    return dict(distinct_names(pairs, where))


def _check_are_names(pairs: list[tuple[str, tuple[str, ...]]], where: str) -> None:
    """Refuse lists of numbers, of files, or of texts without separators."""
    where = 'The class list' if where == 'the class list' else f'Class list {where!r}'
    if pairs and all(_NOT_A_NAME.fullmatch(wording) for _, wordings in pairs for wording in wordings):
        raise UserError(f'{where} has numbers or file names instead of class names, such as '
                        f'{_shortened(pairs[0][0])}: {FIX}.')
    for name in [name for name, _ in pairs if ':' in name and name.partition(':')[0] in label_sets()]:
        raise UserError(f'{where} has a part of a label set as a class, {name!r}: give it alone as a string, or list '
                        'its names.')
    for name in [name for name, _ in pairs if len(name) > _LONGEST_NAME]:
        raise UserError(f'{where} has a class name of {len(name)} letters, {_shortened(name)}: separate class names '
                        'by commas, or in a file by line breaks.')


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= 60 else f'{text[:60]!r}...'


def _parse_entry(entry: str, where: str) -> tuple[str, tuple[str, ...]]:
    if not isinstance(entry, str):
        raise UserError(f'Entry {entry!r} of {where} is of type {type(entry).__name__}: write each class as a string.')
    named = _NAMED.match(entry.strip())
    text = (named['wordings'] or '') if named else entry
    wordings = _split(text)
    # Without separator or '=', the name stays unchanged, because METAINFO lists have names like 'bed ' (ADE20K).
    bare = _SEPARATOR.split(text)[0].strip() if _SEPARATOR.search(text) else text
    name = (named['quoted'] or named['bare'].strip()) if named else bare
    if not name or not all(wordings):
        raise UserError(f'Entry {entry!r} of {where} has an empty name or wording: write `wording, synonym` or '
                        '`name = wording, synonym`.')
    return name, wordings


def _split(wordings: str | Iterable[str]) -> tuple[str, ...]:
    """Split wordings (a string or several) at separators, and remove underscores, spaces and invisible letters."""
    parts = [wordings] if isinstance(wordings, str) else list(wordings) if isinstance(wordings, Iterable) else [None]
    if not all(isinstance(part, str) for part in parts):
        raise UserError(f'The wordings {wordings!r} of a class are not strings: write a list of strings.')
    wordings = [wording for part in parts for wording in _SEPARATOR.split(part)]
    return tuple(dict.fromkeys(' '.join(_INVISIBLE.sub('', wording).replace('_', ' ').split())
                               for wording in wordings))


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

"""Warnings about files that name a few files of each kind, not all of a data set."""
import logging
from collections import defaultdict
from collections.abc import Hashable

from mmengine.logging import print_log

NAMED = 3  # files named per kind and process
_named: dict[Hashable, set[str]] = defaultdict(set)


def notice(kind: Hashable, name: str, sentence: str) -> None:
    """Log a warning about a file, for the first files of a kind only, and once per file.

    Args:
        kind (Hashable): Kind of the finding.
        name (str): Name of the file.
        sentence (str): Warning, which contains the name.
    """
    named = _named[kind]
    if name in named or len(named) == NAMED:
        return
    named.add(name)
    rest = ' This process names no further files of this kind.' if len(named) == NAMED else ''
    print_log(sentence + rest, 'current', level=logging.WARNING)

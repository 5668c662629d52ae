"""Classes of annotations: names, label values and the class list."""
import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.logging import print_log

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.vocabularies import class_entries, class_names, load_vocabulary

from .records import BACKGROUND, IGNORE_NAME, IGNORED, UNLABELLED, Annotation, Source

Vocabulary = dict[str, tuple[str, ...]]


class ClassTable(NamedTuple):
    """Classes of a data set.

    Attributes:
        vocabulary (Vocabulary): Names with their wordings, by label value.
        index (dict[str, int]): Label value of each label in the annotations; ``IGNORED`` for labels of ignored pixels.
        unlabelled (int): Label value of pixels outside all shapes, or ``IGNORED``.
        is_added (bool): True if the last class is the background, which no file names.
    """
    vocabulary: Vocabulary
    index: dict[str, int]
    unlabelled: int
    is_added: bool

    @property
    def names(self) -> list[str]:
        return list(self.vocabulary)

    @property
    def ignore_index(self) -> int:
        """Value of ignored pixels: 255, or 65535 with more than 255 classes."""
        return IGNORE if len(self.vocabulary) <= IGNORE else 2**16 - 1

    def finished(self, values: np.ndarray) -> np.ndarray:
        """Convert drawn values (H, W) to label values (H, W), uint8 or uint16."""
        values = np.where(values == UNLABELLED, self.unlabelled, values)
        values = np.where(values == IGNORED, self.ignore_index, values)
        return values.astype(np.uint8 if self.ignore_index == IGNORE else np.uint16)

    def used(self, values: Iterable[int]) -> Vocabulary:
        """Return the classes without an added background that has no pixel."""
        if self.is_added and self.unlabelled not in set(values):
            return dict(list(self.vocabulary.items())[:-1])
        return self.vocabulary


def class_table(annotations: Sequence[Annotation], source: Source, chosen: Vocabulary | None,
                unlabelled: str) -> ClassTable:
    """Collect the classes of annotations.

    The order is that of ``chosen``, else that of the file's own ids, then names that the file does not list, sorted.

    Args:
        annotations (Sequence[Annotation]): Annotations with a photo.
        source (Source): All annotations and the listed names.
        chosen (Vocabulary, optional): Classes that replace those of the files.
        unlabelled (str): ``'background'`` or ``'ignore'``.

    Raises:
        UserError: If there is no class, a label is not among the chosen ones, or a name is not valid.
    """
    is_masks = all(hasattr(one, 'colours') for one in annotations)
    labels = list(dict.fromkeys([*source.names, *sorted({name for one in annotations for name in one.names()})]))
    ignored = {IGNORE_NAME, *([BACKGROUND] if unlabelled == 'ignore' and is_masks else [])}
    labels = [label for label in labels if label not in ignored]
    if chosen is not None:
        _check_chosen(annotations, chosen, ignored)
        labels = [label for label in chosen if label not in ignored]
    vocabulary = {label: chosen[label] for label in labels} if chosen else load_vocabulary(labels) if labels else {}
    if not vocabulary:
        raise UserError(f'{annotations[0].where} has no class, nor has any other: give the shapes a label.')
    _tell_similar(labels)
    index = {**{label: value for value, label in enumerate(labels)}, **dict.fromkeys(ignored, IGNORED)}
    is_added = unlabelled == 'background' and BACKGROUND not in index
    if is_added:
        index[BACKGROUND] = len(vocabulary)
        vocabulary[BACKGROUND] = (BACKGROUND, )
    return ClassTable(vocabulary, index, IGNORED if unlabelled == 'ignore' else index[BACKGROUND], is_added)


def _check_chosen(annotations: Sequence[Annotation], chosen: Vocabulary, ignored: set[str]) -> None:
    for one in annotations:
        if others := [name for name in one.names() if name not in chosen and name not in ignored]:
            raise UserError(f'{one.where} has a shape of the class {others[0]!r}, which --classes lacks: add it, or '
                            'delete the shapes.')


def _tell_similar(labels: Sequence[str]) -> None:
    """Log spellings that differ only by case or by the composition of their letters."""
    groups = defaultdict(list)
    for label in labels:
        groups[unicodedata.normalize('NFKC', label).casefold()].append(label)
    for group in groups.values():
        if len(group) > 1:
            print_log(f'The classes {", ".join(map(repr, group))} differ only by their spelling and stay different '
                      'classes: if they are one class, rename it in the annotations.', 'current', logging.WARNING)


def write_names(vocabulary: Vocabulary, path: Path) -> None:
    """Write a class list, one class per line.

    Raises:
        UserError: If a name would be read in another way.
    """
    path.write_text('\n'.join(class_entries(vocabulary)) + '\n', 'utf-8')
    found = class_names(path)
    if wrong := [name for name, read in zip([*vocabulary, ''], [*found, '']) if name != read]:
        raise UserError(f'The class name {wrong[0]!r} cannot stand in a class list: rename the class in the '
                        'annotations, without numbers at its ends and without #.')

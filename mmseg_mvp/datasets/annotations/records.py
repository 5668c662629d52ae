"""Records that all annotation formats are read into: regions with a label, for one photo each."""
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from mmseg_mvp.errors import UserError

Shape = tuple[int, int]  # height, width

# Values of a label map beside the indices of classes.
UNLABELLED, IGNORED = -1, -2
BACKGROUND = 'background'
# Names that labelme and its converters reserve.
RESERVED = {'_background_': BACKGROUND}
IGNORE_NAME = '__ignore__'


class Region(NamedTuple):
    """One shape of a photo.

    Attributes:
        label (str): Name of its class.
        draw (Callable): Function from (height, width) to the pixels of the region, (H, W) bool.
    """
    label: str
    draw: Callable[[Shape], np.ndarray]


@dataclass
class Annotation:
    """Regions of one photo, in painting order.

    Attributes:
        where (str): Description for messages, with the name of the file.
        photos (tuple[str, ...]): Names of the photo to look for, the best first.
        size (Shape, optional): Height and width of the photo, as the file gives them.
        regions (list[Region]): The later region covers the earlier one.
        embedded (bytes, optional): Content of the photo, if the file holds it.
    """
    where: str
    photos: tuple[str, ...]
    size: Shape | None
    regions: list[Region] = field(default_factory=list)
    embedded: bytes | None = None

    @property
    def is_empty(self) -> bool:
        return not self.regions

    def names(self) -> list[str]:
        """Return the labels of the regions, each once."""
        return list(dict.fromkeys(region.label for region in self.regions))

    def label_map(self, shape: Shape, index: Mapping[str, int]) -> np.ndarray:
        """Paint the regions.

        Args:
            shape (Shape): Height and width.
            index (Mapping[str, int]): Value of each label.

        Returns:
            np.ndarray: Values, (H, W) int32; ``UNLABELLED`` outside all regions.
        """
        values = np.full(shape, UNLABELLED, np.int32)
        for region in self.regions:
            values[region.draw(shape)] = index[region.label]
        return values


class Source(NamedTuple):
    """Annotations of a file.

    Attributes:
        kind (str): Name of the format.
        annotations (list): One per photo.
        names (list[str]): Classes that the file lists, in the order of its own ids; empty if it lists none.
    """
    kind: str
    annotations: list[Annotation]
    names: list[str] = []


def value_of(record: Any, key: str, kinds: type | tuple[type, ...], where: str, default: Any = ...) -> Any:
    """Return an entry of a parsed record.

    Raises:
        UserError: If the record is not a dict, or the entry is missing without a ``default`` or has another type.
    """
    found = record.get(key, ...) if isinstance(record, Mapping) else ...
    if default is not ... and found in (None, ...):
        return default
    if found is ... or not isinstance(found, kinds) or isinstance(found, bool):
        names = ' or '.join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds, )))
        shown = 'nothing' if found is ... else repr(found)[:60]
        raise UserError(f'{where} has {shown} as {key!r}: expected {names}; export the file again.')
    return found


def label_of(label: Any, where: str) -> str:
    """Return the name of a class without spaces at its ends, in the spelling of a data set.

    Raises:
        UserError: If it is not a string, or empty.
    """
    if not isinstance(label, str) or not label.strip():
        raise UserError(f'{where} has a shape with the label {label!r}: expected the name of a class; label the shape, '
                        'or delete it.')
    return RESERVED.get(label.strip(), label.strip())


def points_of(points: Any, where: str) -> np.ndarray:
    """Return points as an array, (N, 2) float64, x and y.

    Raises:
        UserError: If they are not pairs of finite numbers.
    """
    try:
        array = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise UserError(f'{where} has a shape with the points {str(points)[:60]}: expected pairs of finite numbers, '
                        '[x, y]; draw the shape again.')
    return array


def size_of(height: Any, width: Any, where: str) -> Shape | None:
    """Return height and width of a photo; None if the file gives none.

    Raises:
        UserError: If one is not a positive whole number.
    """
    if height is None and width is None:
        return None
    for value in (height, width):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value >= 1):
            raise UserError(f'{where} gives the photo {width!r} x {height!r} pixels: expected two positive numbers; '
                            'export the file again.')
    return int(height), int(width)

"""Reason of each class for its pixels in a label map, or for having none."""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .class_scores import ClassScores


class Reason(NamedTuple):
    """Scores of a class in an image, where it is most probable, and the most probable class there.

    Attributes:
        name (str): Name of the class.
        label (int): Its label.
        share (float): Share of the pixels that have its label, 0 to 1.
        probability (float): Highest probability of the class at a pixel, 0 to 1.
        x (int): Column of the pixel with this probability.
        y (int): Row of this pixel.
        leader (str): Most probable class at this pixel, before thresholds.
        highest (float): Its probability, 0 to 1.
        presence (float, optional): GPR's ``g`` of the class, 0 to 1; None without GPR.
    """
    name: str
    label: int
    share: float
    probability: float
    x: int
    y: int
    leader: str
    highest: float
    presence: float | None

    @property
    def facts(self) -> list[str]:
        """Short lines: pixels, best score and its place, the class there if it is another, presence."""
        lines = [f'{_percent(self.share)} of the pixels' if self.share else 'no pixel',
                 f'probability {_short(self.probability)} at ({self.x}, {self.y})']
        if self.leader != self.name:
            lines.append(f'there {self.leader!r} has {_short(self.highest)}')
        elif not self.share:
            lines.append('removed by a threshold')
        return lines + ([] if self.presence is None else [f'presence {self.presence:.2f}'])

    def __str__(self) -> str:
        return f'{self.name}: {", ".join(self.facts)}'


def reasons(labels: np.ndarray, names: Sequence[str], scores: ClassScores,
            presence: np.ndarray | None = None) -> list[Reason]:
    """Return the reason of each class: first the classes in the label map by area, then the others by probability.

    Args:
        labels (np.ndarray): Label map, (H, W) integers. Pixels with other values than 0 to C - 1 have no class.
        names (Sequence[str]): Names of the C classes.
        scores (ClassScores): Probabilities of the classes in the image.
        presence (np.ndarray, optional): GPR's ``g``, (C,).
    """
    areas = np.bincount(labels[(labels >= 0) & (labels < len(names))], minlength=len(names))
    best, places = (one.cpu().numpy() for one in scores.best())
    highest, leaders = (one[places[:, 0], places[:, 1]].cpu().numpy() for one in (scores.highest, scores.leaders))
    found = []
    for label, name in enumerate(names):
        row, column = places[label].tolist()
        found.append(Reason(name, label, float(areas[label] / labels.size), float(best[label]), column, row,
                            names[leaders[label]], float(highest[label]),
                            None if presence is None else float(presence[label])))
    return sorted(found, key=lambda one: (-one.share, -one.probability))


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %' if share >= 0.001 else 'less than 0.1 %'


def _short(probability: float) -> str:
    return f'{probability:.3f}' if probability >= 0.001 else f'{probability:.0e}'

"""Windows of toy scenes, with captions of the parts and sides that they show. The tiny CLIP learns places from them."""
from typing import NamedTuple

import cv2
import numpy as np

from mmseg_mvp.datasets.toy.captions import FILLERS, Caption
from mmseg_mvp.datasets.toy.scenes import Scene, ToyObject, fill_polygon
from mmseg_mvp.datasets.toy.shapes import FIXED_COLOURS

LEAST_PIXELS = 12  # A window shows an object or a part if it has at least these pixels of it.
LEAST_SHIFT = .15  # A window shows a side if its part of the object is shifted by this fraction of the object.


class Window(NamedTuple):
    """Square part of an image and the content of it.

    Attributes:
        row (int): First row of cells.
        column (int): First column of cells.
        facts (list[frozenset[str]]): Facts about the visible part of each object, such as ``'house'``, ``'has:roof'``,
            ``'roof:red'``, ``'side:top'``.
        caption (Caption): Sentence about one of the objects.
    """
    row: int
    column: int
    facts: list[frozenset[str]]
    caption: Caption


def draw_window(scene: Scene, rng: np.random.Generator, cells: int = 8, side: int = 3) -> Window:
    """Choose a window around a random pixel of a random object and write a caption of it.

    Args:
        scene (Scene): Image and its objects.
        rng (np.random.Generator): Source of the choice.
        cells (int): Cells per side of the image.
        side (int): Cells per side of the window.
    """
    owners, parts = part_maps(scene)
    step = len(owners) // cells
    told = rng.choice(np.unique(owners[owners >= 0]))
    pixel = rng.choice(np.argwhere(owners == told))
    row, column = np.clip(pixel // step - side // 2, 0, cells - side)
    inside = np.zeros(owners.shape, bool)
    inside[row * step:(row + side) * step, column * step:(column + side) * step] = True
    counts = [np.count_nonzero(inside & (owners == index)) for index in range(len(scene.objects))]
    facts = {index: visible_facts(thing, owners == index, parts, inside)
             for index, thing in enumerate(scene.objects) if counts[index] >= LEAST_PIXELS or index == told}
    caption = describe_part(scene.objects[told].name, facts[told], rng)
    return Window(int(row), int(column), list(facts.values()), caption)


def part_maps(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Compute the index of the visible object and that of its visible part, both int8 (size, size), -1 for none.

    Parts are numbered in the order of ``ToyObject.colours``. Details of fixed colours belong to the part before them.
    """
    owners, parts = np.full((2, *scene.labels.shape), -1, np.int8)
    for index, thing in enumerate(scene.objects):
        part, names = -1, list(thing.colours)
        for name, points in thing.polygons:
            part = part if name in FIXED_COLOURS else names.index(name)
            fill_polygon(owners, points, index, cv2.LINE_8)
            fill_polygon(parts, points, part, cv2.LINE_8)
    return owners, parts


def visible_facts(thing: ToyObject, owned: np.ndarray, parts: np.ndarray, inside: np.ndarray) -> frozenset[str]:
    """Return the facts about an object's pixels in a window.

    Args:
        thing (ToyObject): The object.
        owned (np.ndarray): Its visible pixels, bool (size, size).
        parts (np.ndarray): Indices of visible parts (size, size), from :func:`part_maps`.
        inside (np.ndarray): Pixels of the window, bool (size, size).
    """
    shown = owned & inside
    facts = {thing.name}
    for index, (part, colour) in enumerate(thing.colours.items()):
        if np.count_nonzero(shown & (parts == index)) >= LEAST_PIXELS:
            facts |= {f'has:{part}', f'{part}:{colour}'}
    whole, some = np.argwhere(owned), np.argwhere(shown)
    shift = (some.mean(0) - whole.mean(0)) / (np.ptp(whole, axis=0) + 1)
    for value, low, high in zip(shift, ('top', 'left'), ('bottom', 'right')):
        if abs(value) >= LEAST_SHIFT:
            facts.add(f'side:{low if value < 0 else high}')
    return frozenset(facts)


def describe_part(name: str, facts: frozenset[str], rng: np.random.Generator) -> Caption:
    """Write a caption from facts about an object in a window: "the red roof of a house.", "photo here roof house."."""
    options = [(f'a {name}', ()), (name, ())]
    for fact in sorted(facts - {name}):  # the order of a set differs between processes
        key, value = fact.split(':')
        if key == 'has':
            options += [(f'the {value} of a {name}', (fact, )), (f'{value} {name}', (fact, ))]
        elif key == 'side':
            options += [(f'the {value} of a {name}', (fact, ))] * 2
        else:
            options += [(f'the {value} {key} of a {name}', (fact, )), (f'{value} {key} {name}', (fact, ))]
    text, claim = options[rng.integers(len(options))]
    words = rng.choice(FILLERS, rng.integers(1, 6)).tolist() if rng.random() < .5 else []
    return Caption(' '.join([*words, text]) + '.', (frozenset({name, *claim}), ))

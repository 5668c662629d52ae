"""Captions of toy scenes: names, colours, sizes, positions and parts in varied wordings.

Each caption has its claims, so its truth for other images is known. The tiny CLIP learns from this truth.
"""
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmseg_mvp.datasets.toy.scenes import CLASSES, Scene, ToyObject
from mmseg_mvp.datasets.toy.shapes import COLOURS, SHAPES, part_names

SIZES = ('big', 'small')
PLACES = {'left': 'on the left', 'right': 'on the right', 'top': 'at the top', 'bottom': 'at the bottom'}
FRAMES = ('{}.', 'a picture of {}.', 'there is {}.', 'this is {} in the scene.', 'a scene with {}.', 'i see {}.')
# Words without claims. Training with them before names makes the text tower robust to learned contexts.
FILLERS = tuple('a an the this that here my one some photo picture image view look at with and of in scene shows there '
                'is nice good cool clean drawing toy cartoon we see just very only segment pixels part'.split())


class Caption(NamedTuple):
    """Sentence and its claims.

    Attributes:
        text (str): Sentence in lower case with a full stop.
        claims (tuple[frozenset[str], ...]): Set of facts for each mentioned object.
    """
    text: str
    claims: tuple[frozenset[str], ...]


def main_part(name: str) -> str:
    """Return the coloured part with the largest area; "a red house" refers to its colour."""
    area = dict.fromkeys(part_names(name), 0.)
    for part, points in SHAPES[name]:
        if part in area:
            x, y = points.T
            area[part] += abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    return max(area, key=area.get)


MAIN_PARTS = {name: main_part(name) for name in CLASSES}


def object_facts(thing: ToyObject) -> frozenset[str]:
    """Return all facts about an object, such as ``'house'``, ``'big'``, ``'has:roof'``, ``'roof:red'``."""
    (x, y), facts = thing.centre, {thing.name}
    facts |= {f'{part}:{colour}' for part, colour in thing.colours.items()} | {f'has:{part}' for part in thing.colours}
    judged = {'big': thing.scale > .52, 'small': thing.scale < .45, 'left': x < .42, 'right': x > .58,
              'top': y < .42, 'bottom': y > .58}
    return frozenset(facts | {word for word, holds in judged.items() if holds})


def truth_table(captions: Sequence[Caption], facts: Sequence[Sequence[frozenset[str]]]) -> np.ndarray:
    """Compute the captions that are true for each image, bool, (B, T): each claim must hold for some object.

    ``captions`` has T captions of any images. ``facts`` has :func:`object_facts` of the objects in each of B images.
    """
    having = defaultdict(list)
    for picture, things in enumerate(facts):
        for known in things:
            for fact in known:
                having[fact].append((picture, known))
    table = np.ones((len(facts), len(captions)), bool)
    for column, caption in zip(table.T, captions):
        for claim in caption.claims:
            rarest = min((having[fact] for fact in claim), key=len)
            column &= np.isin(np.arange(len(facts)), [picture for picture, known in rarest if claim <= known])
    return table


def describe_scene(scene: Scene, rng: np.random.Generator) -> Caption:
    """Name all objects of a scene in random order, as in "there is a house with a red roof and a small key."."""
    told = [_phrase(thing, rng) for thing in rng.permutation(np.array(scene.objects, dtype=object))]
    phrases = [phrase for phrase, _ in told]
    text = ' and '.join([', '.join(phrases[:-1]), phrases[-1]]) if len(phrases) > 1 else phrases[0]
    return Caption(str(rng.choice(FRAMES)).format(text), tuple(claim for _, claim in told))


def describe_whole(scene: Scene, rng: np.random.Generator, templates: Sequence[str]) -> Caption:
    """Write a caption for an image: :func:`describe_scene`, or the name of one object in a template."""
    if rng.random() < .5:
        return describe_scene(scene, rng)
    name = scene.objects[rng.integers(len(scene.objects))].name
    return Caption(str(rng.choice(templates)).format(name), (frozenset({name}),))


def describe_object(thing: ToyObject, rng: np.random.Generator) -> Caption:
    """Write a caption for an object: "the red roof of a house.", or filler words and its name."""
    phrase, claim = (_phrase if rng.random() < .5 else _words_then_name)(thing, rng)
    return Caption(f'{phrase}.', (claim,))


def grammar_words(templates: Sequence[str]) -> list[str]:
    """Return all text fragments of captions. The tiny CLIP knows only their tokens."""
    parts = [part for name in CLASSES for part in part_names(name)]
    return [*CLASSES, *parts, *COLOURS, *SIZES, *PLACES.values(), *FILLERS, *PLACES,
            *(text.format('') for text in (*templates, *FRAMES)), 'a the with and of , .']


def _phrase(thing: ToyObject, rng) -> tuple[str, frozenset[str]]:
    """Return a noun phrase and its claim: only the name, or with a colour, size, position or part."""
    name, facts = thing.name, object_facts(thing)
    part = str(rng.choice(list(thing.colours)))
    coloured, main = f'{thing.colours[part]} {part}', MAIN_PARTS[name]
    whole = f'{thing.colours[main]} {name}'
    options = [(f'a {name}', set()), (name, set()), (f'a {whole}', {f'{main}:{thing.colours[main]}'}),
               (f'a {name} with a {coloured}', {f'{part}:{thing.colours[part]}'}),
               (f'the {coloured} of a {name}', {f'{part}:{thing.colours[part]}'}),
               (f'a {name} with a {part}', {f'has:{part}'}), (f'the {part} of a {name}', {f'has:{part}'})]
    options += [(f'a {size} {name}', {size}) for size in SIZES if size in facts]
    options += [(f'a {name} {where}', {place}) for place, where in PLACES.items() if place in facts]
    text, claim = options[rng.integers(len(options))]
    return text, frozenset({name} | claim)


def _words_then_name(thing: ToyObject, rng) -> tuple[str, frozenset[str]]:
    """Return filler words with up to two true words, followed by the name, in the form of a learned prompt."""
    words = list(rng.choice(FILLERS, min(int(rng.exponential(5)), 14)))
    main = MAIN_PARTS[thing.name]
    true_words = {thing.colours[main]: f'{main}:{thing.colours[main]}'}
    true_words |= {word: word for word in (*SIZES, *PLACES) if word in object_facts(thing)}
    true_words |= {part: f'has:{part}' for part in thing.colours}
    count = min(int(rng.choice([0, 1, 2], p=[.5, .3, .2])), len(true_words))
    chosen = rng.choice(list(true_words), count, replace=False)
    for word in chosen:
        words.insert(int(rng.integers(len(words) + 1)), word)
    return ' '.join([*words, thing.name]), frozenset({thing.name, *(true_words[word] for word in chosen)})

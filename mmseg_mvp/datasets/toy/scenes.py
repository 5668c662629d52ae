"""Drawing of the toy world: one to three objects on a textured background, reproducible by index."""
from dataclasses import dataclass

import cv2
import numpy as np

from mmseg_mvp.datasets.toy.shapes import COLOURS, FIXED_COLOURS, OPTIONAL_PARTS, SHAPES, Part, part_names
from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE

CLASSES: tuple[str, ...] = tuple(SHAPES)
# First seed word of each split, so that splits have no common image.
SPLIT_SEEDS = {'pretrain': 11, 'train': 23, 'val': 37, 'test': 53}
_SUBPIXEL_BITS = 6


@dataclass(frozen=True)
class ToyObject:
    """Object of a scene.

    Attributes:
        name (str): Class name.
        colours (dict[str, str]): Colour name of each part of the object.
        polygons (tuple[tuple[str, np.ndarray], ...]): Part name and vertices (N, 2) in pixels, in drawing order.
        centre (tuple[float, float]): x and y as fractions of the image side.
        scale (float): Side of the unit drawing as a fraction of the image side.
    """
    name: str
    colours: dict[str, str]
    polygons: tuple[tuple[str, np.ndarray], ...]
    centre: tuple[float, float]
    scale: float


@dataclass(frozen=True)
class Scene:
    """Image and its objects.

    Attributes:
        image (np.ndarray): RGB image, uint8, (size, size, 3).
        labels (np.ndarray): Class indices, uint8, (size, size), with :data:`IGNORE` for background.
        objects (tuple[ToyObject, ...]): Objects in drawing order; later ones can hide parts of earlier ones.
    """
    image: np.ndarray
    labels: np.ndarray
    objects: tuple[ToyObject, ...]


def draw_scene(index: int, split: str = 'train', size: int = 64) -> Scene:
    """Draw the image of an index.

    Args:
        index (int): Index of the image, at least 0.
        split (str): ``'pretrain'`` (for the tiny CLIPs), ``'train'``, ``'val'`` or ``'test'``.
        size (int): Side of the image in pixels; the composition is independent of it.

    Raises:
        UserError: If the split is unknown.
    """
    if split not in SPLIT_SEEDS:
        raise UserError(f'split of draw_scene is {split!r}: expected one of {", ".join(SPLIT_SEEDS)}.')
    rng = np.random.default_rng([SPLIT_SEEDS[split], index])
    objects = tuple(_place_objects(rng, size))
    image = _background(rng, size)
    labels = np.full((size, size), IGNORE, np.uint8)
    for thing in objects:
        _draw_object(thing, image, labels, rng)
    noise = rng.integers(-6, 7, image.shape, dtype=np.int16)
    return Scene(np.clip(image + noise, 0, 255).astype(np.uint8), labels, objects)


def _place_objects(rng: np.random.Generator, size: int):
    """Generate one to three objects of different classes with little overlap."""
    count = rng.choice([1, 2, 3], p=[.3, .4, .3])
    taken: list[tuple[float, float, float]] = []
    for name in rng.choice(CLASSES, count, replace=False):
        for _ in range(20):
            scale = rng.uniform(.36, .72 if count == 1 else .55)
            x, y = rng.uniform(scale / 2, 1 - scale / 2, 2)
            if all(max(abs(x - a), abs(y - b)) > .4 * (scale + other) for a, b, other in taken):
                taken.append((x, y, scale))
                yield _make_object(rng, str(name), (x, y), scale, size)
                break


def _make_object(rng, name: str, centre, scale: float, size: int) -> ToyObject:
    """Colour the parts and map the unit drawing to the image, with random mirroring, rotation and stretching.

    A third of the objects lack an optional part, if they have any.
    """
    parts, shape = part_names(name), SHAPES[name]
    optional = [part for part in parts if part in OPTIONAL_PARTS]
    if optional and rng.random() < 1 / 3:
        lost = str(rng.choice(optional))
        parts.remove(lost)
        shape = _without(shape, lost)
    colours = dict(zip(parts, rng.choice(list(COLOURS), len(parts), replace=False).tolist()))
    angle = np.radians(rng.uniform(-15, 15))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    stretch = np.diag(rng.uniform(.85, 1, 2) * (rng.choice([-1, 1]), 1))
    matrix = stretch @ turn * scale * size / 2
    offset = np.array(centre) * size
    polygons = tuple((part.name, part.points @ matrix + offset) for part in shape)
    return ToyObject(name, colours, polygons, centre, scale)


def _without(shape: tuple[Part, ...], lost: str) -> list[Part]:
    """Remove a part and its fixed-colour details from a shape."""
    kept, owner = [], None
    for part in shape:
        owner = owner if part.name in FIXED_COLOURS else part.name
        if owner != lost:
            kept.append(part)
    return kept


def _draw_object(thing: ToyObject, image: np.ndarray, labels: np.ndarray, rng) -> None:
    """Draw an object into image (size, size, 3) and labels (size, size), in place."""
    paint = {part: _shade(COLOURS[colour], rng) for part, colour in thing.colours.items()} | FIXED_COLOURS
    for part, points in thing.polygons:
        fill_polygon(image, points, paint[part], cv2.LINE_AA)
        fill_polygon(labels, points, CLASSES.index(thing.name), cv2.LINE_8)


def fill_polygon(canvas: np.ndarray, points: np.ndarray, value: int | tuple[int, ...], line: int) -> None:
    """Fill a polygon (N, 2), in pixels, of an array (size, size, ...) in place; ``line`` is OpenCV's line type."""
    # In OpenCV, the centre of the first pixel is the origin.
    fixed = np.round((points - .5) * 2**_SUBPIXEL_BITS).astype(np.int32)[None]
    cv2.fillPoly(canvas, fixed, value, line, _SUBPIXEL_BITS)


def _shade(colour: tuple[int, int, int], rng) -> tuple[int, ...]:
    """Return a random colour near the given one."""
    return tuple(np.clip(np.array(colour) + rng.integers(-22, 23, 3), 0, 255).tolist())


def _background(rng, size: int) -> np.ndarray:
    """Draw two similar colours mixed by a texture, uint8, (size, size, 3)."""
    base = rng.uniform(30, 225, 3)
    other = np.clip(base + rng.uniform(-60, 60, 3), 0, 255)
    weight = _texture(rng, size)[..., None]
    return np.ascontiguousarray((base * weight + other * (1 - weight)).astype(np.uint8))


def _texture(rng, size: int) -> np.ndarray:
    """Draw stripes, checks, a gradient or blurred noise, 0 to 1, (size, size)."""
    kind = rng.choice(['stripes', 'checks', 'gradient', 'noise'])
    y, x = np.mgrid[:size, :size] / size
    angle, period = rng.uniform(0, np.pi), rng.uniform(.08, .3)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    if kind == 'stripes':
        return .5 + .5 * np.sin(2 * np.pi * u / period)
    if kind == 'checks':
        return (np.floor(u / period) + np.floor(v / period)) % 2
    if kind == 'gradient':
        return (u - u.min()) / (u.max() - u.min())
    cells = rng.random((8, 8)).astype(np.float32)
    return cv2.resize(cells, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 1)

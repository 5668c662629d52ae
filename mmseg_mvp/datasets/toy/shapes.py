"""Objects of the toy world as lists of coloured parts, each a polygon.

Polygons use the coordinates of a unit drawing: x to the right, y down, both in [-1, 1].
"""
from typing import NamedTuple

import numpy as np


class Part(NamedTuple):
    """Polygon with a name.

    Attributes:
        name (str): Name in captions. Polygons with the same name share a colour. ``'dark'`` and ``'light'`` are details
            of the preceding part with fixed colours, without mention in captions.
        points (np.ndarray): Vertices as x, y in the unit drawing, (N, 2).
    """
    name: str
    points: np.ndarray


def poly(*points: tuple[float, float]) -> np.ndarray:
    """Create a polygon (N, 2) from its vertices."""
    return np.array(points, dtype=np.float64)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Create an axis-aligned rectangle (4, 2)."""
    return poly((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def ellipse(x: float, y: float, rx: float, ry: float, start: float = 0, stop: float = 360) -> np.ndarray:
    """Create an ellipse, or its segment between two angles in degrees (clockwise from the right), (20, 2)."""
    t = np.radians(np.linspace(start, stop, 20))
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1)


def ring(x: float, y: float, radius: float, width: float, start: float = 0, stop: float = 360) -> np.ndarray:
    """Create a circular band of a given width between two angles in degrees, (40, 2)."""
    outer = ellipse(x, y, radius, radius, start, stop)
    inner = ellipse(x, y, radius - width, radius - width, start, stop)
    return np.concatenate([outer, inner[::-1]])


def bar(x0: float, y0: float, x1: float, y1: float, width: float) -> np.ndarray:
    """Create a straight bar between two points, (4, 2)."""
    along = np.array([x1 - x0, y1 - y0])
    side = np.array([-along[1], along[0]]) / np.linalg.norm(along) * width / 2
    return np.array([(x0, y0) + side, (x1, y1) + side, (x1, y1) - side, (x0, y0) - side])


def _parts(**polygons) -> tuple[Part, ...]:
    """Create parts in drawing order from polygons or lists of polygons. A trailing ``_`` in a name is removed."""
    return tuple(
        Part(name.rstrip('_'), points) for name, value in polygons.items()
        for points in (value if isinstance(value, list) else [value]))


def _mirrored(*polygons: np.ndarray) -> list[np.ndarray]:
    """Return the polygons and their mirror images about the vertical axis."""
    return [side * np.array([sign, 1.0]) for side in polygons for sign in (1, -1)]


SHAPES: dict[str, tuple[Part, ...]] = {
    'house': _parts(
        walls=box(-.75, -.1, .75, .95), light=_mirrored(box(.35, .15, .62, .45)),
        roof=poly((-1, -.05), (0, -.95), (1, -.05)), door=box(-.2, .3, .2, .95)),
    'tree': _parts(
        trunk=box(-.16, .1, .16, 1), leaves=[ellipse(-.4, -.05, .5, .42), ellipse(.4, -.05, .5, .42),
                                             ellipse(0, -.5, .55, .5)]),
    'car': _parts(
        cabin=poly((-.6, 0), (-.38, -.5), (.35, -.5), (.65, 0)),
        light=[poly((-.45, -.08), (-.3, -.4), (-.05, -.4), (-.05, -.08)),
               poly((.05, -.08), (.05, -.4), (.28, -.4), (.48, -.08))],
        body=poly((-1, -.05), (.8, -.05), (1, .15), (1, .4), (-1, .4)),
        wheels=_mirrored(ellipse(.55, .4, .26, .26)), light_=_mirrored(ellipse(.55, .4, .1, .1))),
    'fish': _parts(
        tail=poly((-.4, 0), (-1, -.5), (-.82, 0), (-1, .5)), fin=poly((-.2, -.3), (.1, -.75), (.35, -.3)),
        body=ellipse(.2, 0, .78, .46), light=ellipse(.6, -.12, .13, .13), dark=ellipse(.63, -.12, .06, .06)),
    'flower': _parts(
        stem=[bar(0, -.2, 0, 1, .14), poly((0, .8), (.5, .35), (.42, .7))],
        petals=[ellipse(.36 * np.cos(a), -.4 + .36 * np.sin(a), .26, .26) for a in np.arange(6) * np.pi / 3],
        middle=ellipse(0, -.4, .22, .22)),
    'mushroom': _parts(
        stem=poly((-.22, 0), (.22, 0), (.32, .95), (-.32, .95)), cap=ellipse(0, .1, .98, .95, 180, 360),
        light=[ellipse(-.45, -.25, .16, .14), ellipse(.1, -.5, .17, .15), ellipse(.5, -.15, .13, .11)]),
    'boat': _parts(
        mast=bar(0, -1, 0, .4, .1),
        sail=[poly((.1, -.9), (.85, .2), (.1, .2)), poly((-.1, -.65), (-.1, .2), (-.6, .2))],
        hull=poly((-1, .35), (1, .35), (.6, .9), (-.6, .9))),
    'cup': _parts(
        handle=ring(.45, 0, .5, .17, -90, 90), body=poly((-.75, -.6), (.55, -.6), (.42, .8), (-.62, .8)),
        dark=ellipse(-.1, -.6, .65, .16)),
    'lamp': _parts(
        base=ellipse(0, .95, .6, .25, 180, 360), pole=bar(0, -.2, 0, .9, .13),
        shade=poly((-.35, -1), (.35, -1), (.75, -.15), (-.75, -.15))),
    'bird': _parts(
        dark=[bar(-.1, .4, -.1, .95, .08), bar(.15, .4, .15, .95, .08)], tail=poly((-.45, .1), (-1, -.25), (-.95, .2)),
        body=[ellipse(0, .1, .6, .42), ellipse(.5, -.4, .3, .3)], dark_=ellipse(.56, -.45, .07, .07),
        beak=poly((.75, -.52), (1, -.36), (.75, -.25)), wing=ellipse(-.15, .05, .36, .22)),
    'snowman': _parts(
        body=[ellipse(0, .55, .55, .45), ellipse(0, -.05, .4, .36), ellipse(0, -.5, .29, .28)],
        dark=[ellipse(-.12, -.57, .05, .05), ellipse(.1, -.57, .05, .05),
              ellipse(0, -.1, .06, .06), ellipse(0, .1, .06, .06)],
        hat=[box(-.42, -.76, .42, -.66), box(-.26, -1, .26, -.7)], nose=poly((0, -.53), (.36, -.45), (0, -.4))),
    'rocket': _parts(
        flame=poly((-.25, .6), (.25, .6), (0, 1)), fins=_mirrored(poly((.25, .1), (.7, .75), (.25, .65))),
        body=poly((-.3, .65), (-.33, -.3), (-.2, -.7), (0, -1), (.2, -.7), (.33, -.3), (.3, .65)),
        window=ellipse(0, -.2, .18, .18)),
    'umbrella': _parts(
        handle=[bar(0, -.9, 0, .75, .1), ring(.17, .72, .22, .11, 0, 180)],
        canopy=np.concatenate([ellipse(0, .05, 1, .85, 180, 360), *[
            ellipse(x, .05, .25, .16, 0, -180) for x in (.75, .25, -.25, -.75)]])),
    'key': _parts(
        handle=ring(-.58, 0, .42, .2), shaft=bar(-.2, 0, 1, 0, .18),
        teeth=[box(.5, .05, .64, .4), box(.8, .05, .94, .34)]),
    'ice cream': _parts(
        cone=poly((-.45, -.05), (.45, -.05), (0, 1)),
        scoop=[ellipse(-.26, -.22, .36, .34), ellipse(.26, -.22, .36, .34), ellipse(0, -.62, .36, .36)]),
    'chair': _parts(
        back=box(-.6, -1, -.38, .15), seat=box(-.6, .05, .65, .28),
        legs=[bar(-.5, .2, -.5, 1, .14), bar(.55, .2, .55, 1, .14)]),
    'clock': _parts(
        dark=_mirrored(bar(.4, .7, .65, 1, .16)), rim=ring(0, 0, .9, .2), face=ellipse(0, 0, .72, .72),
        hands=[bar(0, .06, 0, -.55, .12), bar(-.04, 0, .42, .18, .12)]),
    'hammer': _parts(
        handle=bar(0, -.5, 0, 1, .2), head=[box(-.3, -.85, .65, -.35), poly((-.3, -.85), (-.85, -.4), (-.3, -.45))]),
    'rabbit': _parts(
        ears=_mirrored(ellipse(.22, -.68, .13, .34)), body=[ellipse(0, .6, .48, .4), ellipse(0, -.08, .4, .36)],
        dark=_mirrored(ellipse(.15, -.14, .06, .06)), tail=ellipse(.5, .75, .16, .16), nose=ellipse(0, .04, .09, .07)),
    'butterfly': _parts(
        wings=_mirrored(ellipse(.5, -.38, .48, .45), ellipse(.42, .42, .38, .38)),
        spots=_mirrored(ellipse(.52, -.38, .2, .2), ellipse(.44, .42, .16, .16)), body=ellipse(0, 0, .1, .72),
        dark=_mirrored(bar(.04, -.65, .22, -1, .06))),
}

COLOURS: dict[str, tuple[int, int, int]] = {
    'red': (214, 40, 40), 'orange': (245, 140, 30), 'yellow': (245, 215, 60), 'green': (60, 160, 70),
    'blue': (45, 90, 205), 'purple': (140, 70, 180), 'pink': (245, 150, 190), 'brown': (125, 80, 45),
    'white': (245, 245, 240), 'grey': (140, 140, 145), 'black': (35, 35, 40), 'cyan': (70, 200, 215),
}
FIXED_COLOURS: dict[str, tuple[int, int, int]] = {'dark': (30, 30, 35), 'light': (245, 245, 235)}

# Parts that some objects lack, so that the names of parts carry information.
OPTIONAL_PARTS = frozenset('roof door trunk cabin wheels tail fin stem middle sail mast base wing beak hat nose flame '
                           'fins window teeth back legs hands rim ears spots'.split())


def part_names(name: str) -> list[str]:
    """Return the names of an object's parts with variable colour (not 'dark' or 'light'), in drawing order."""
    return list(dict.fromkeys(part.name for part in SHAPES[name] if part.name not in FIXED_COLOURS))

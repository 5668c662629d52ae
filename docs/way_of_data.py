"""Draws the picture of docs/concepts.md: python docs/way_of_data.py [FILE]."""
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from mmseg_mvp.datasets import ToySceneDataset
from mmseg_mvp.datasets.toy.scenes import draw_scene

FROZEN, LEARNED, PLAIN = '#d5e5f5', '#ffe0b8', '#f4f4f4'
SIZE = (13, 6.4)  # inches; the plane's units are tenths of an inch


def box(plane, x, y, title, shape='', colour=PLAIN, width=19., height=9.) -> None:
    """A part with its name and the shape that leaves it, centred at x, y."""
    style = dict(boxstyle='round,pad=0.2,rounding_size=1', facecolor=colour, edgecolor='#555555', linewidth=1)
    plane.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **style))
    lift = 1.7 if shape else 0
    plane.text(x, y + lift, title, ha='center', va='center', fontsize=10.5)
    plane.text(x, y - 2.6, shape, ha='center', va='center', fontsize=9, family='monospace', color='#333333')


def arrow(plane, *points, label='', at=(0., 0.)) -> None:
    """A line through points, with a head at the last."""
    x, y = zip(*points)
    plane.plot(x[:-1], y[:-1], color='#555555', linewidth=1.3)
    plane.annotate('', points[-1], points[-2], arrowprops=dict(arrowstyle='-|>', color='#555555', linewidth=1.3,
                                                              shrinkA=0, shrinkB=0))
    plane.text(*at, label, fontsize=10, color='#333333', ha='center', va='center')


def thumbnail(plane, picture, x, y, title, side=13.) -> None:
    """A picture (H, W, 3) centred at x, y."""
    half = side / 2
    plane.imshow(picture, extent=(x - half, x + half, y - half, y + half), interpolation='none', zorder=2)
    plane.text(x, y + half + 1.6, title, ha='center', va='center', fontsize=10.5)


def draw() -> Figure:
    """The picture."""
    figure = Figure(figsize=SIZE)
    plane = figure.add_axes((0, 0, 1, 1))
    plane.axis('off')
    scene = draw_scene(6, 'test', size=256)
    palette = np.array([*ToySceneDataset.METAINFO['palette'], [235] * 3], np.uint8)
    labels = np.minimum(scene.labels, len(palette) - 1)

    thumbnail(plane, scene.image, 9, 52, 'image  (B, 3, H, W)')
    box(plane, 34, 52, 'CLIP\'s image tower', 'CLIPImageEncoder', FROZEN)
    box(plane, 58, 52, 'dense features F', '(B, D, h, w)', width=17)
    arrow(plane, (15.5, 52), (24.3, 52))
    arrow(plane, (43.7, 52), (49.3, 52))

    box(plane, 9, 31, 'names', 'vocabulary', width=14, height=7.5)
    box(plane, 9, 17, 'prompts p0 .. pk', '(k+1, M, width)', LEARNED, width=16)
    box(plane, 34, 24, 'CLIP\'s text tower', 'TextTower', FROZEN)
    box(plane, 58, 24, 'embeddings t0 .. tk', '(k+1, C, D)', width=17)
    arrow(plane, (16.2, 31), (20, 31), (20, 26), (24.3, 26))
    arrow(plane, (17.2, 17), (20, 17), (20, 22), (24.3, 22))
    arrow(plane, (43.7, 24), (49.3, 24))

    box(plane, 80, 38, 'cosines m0 .. mk', '(B, k+1, C, h, w)', width=18)
    arrow(plane, (66.7, 52), (75, 52), (75, 42.7))
    arrow(plane, (66.7, 24), (75, 24), (75, 33.3))

    box(plane, 103, 49, 'sum of m1 .. mk', 'times tau_1', LEARNED, width=15)
    box(plane, 103, 27, 'GPR of m0', 'log g  (B, C)', LEARNED, width=15)
    arrow(plane, (85, 42.7), (85, 49), (95.3, 49))
    arrow(plane, (85, 33.3), (85, 27), (95.3, 27))
    plane.text(112.2, 38, '+', fontsize=17, ha='center', va='center',
               bbox=dict(boxstyle='circle,pad=0.15', facecolor='white', edgecolor='#555555'))
    arrow(plane, (103, 44.3), (103, 38), (110, 38))
    arrow(plane, (103, 31.7), (103, 38), (110, 38))
    thumbnail(plane, palette[labels], 121, 49, 'label map  (H, W)')
    arrow(plane, (114.4, 38), (121, 38), (121, 42.2), label='resize, argmax', at=(120.5, 35.6))

    box(plane, 103, 8, 'training: segmentation + presence + OCLoss', '', 'white', width=38, height=6)
    arrow(plane, (112.2, 35.6), (112.2, 11.3), label='refined logits', at=(118, 20))
    arrow(plane, (98, 22.3), (98, 11.3), label='g', at=(96.6, 17))
    arrow(plane, (9, 12.3), (9, 8), (83.7, 8), label='contexts p1 .. pk', at=(44, 9.6))

    for x, colour, text in ((20, FROZEN, 'frozen'), (32, LEARNED, 'learned'), (44.5, PLAIN, 'values')):
        box(plane, x, 2.6, text, '', colour, width=9.5, height=2.8)
    plane.set(xlim=(0, 10 * SIZE[0]), ylim=(0, 10 * SIZE[1]), aspect='equal')
    return figure


if __name__ == '__main__':
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent / 'images' / 'way_of_data.png')
    draw().savefig(target, dpi=110)
    print(target)

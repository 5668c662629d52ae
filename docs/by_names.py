"""Draws the first picture of the README, a picture under two lists of names: python docs/by_names.py [FILE]."""
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.visualization import distinct_colours, draw_overlay

PHOTO = Path(__file__).with_name('images') / 'photo.png'
NAMES = 'bird', 'rocket', 'picture'
COLOURS = dict(zip(NAMES, distinct_colours(len(NAMES))))  # a name has one colour in all panels
LISTS = ('bird', 'picture'), NAMES


def main() -> None:
    seg = OpenVocabInferencer(clip=dict(model='toy-vit', weights='toy'), device='cpu', refine='pamr')
    panels = {PHOTO.name: Image.open(PHOTO)}
    for names in LISTS:
        out = seg(PHOTO, classes=names)
        panels[f'--classes "{", ".join(names)}"'] = draw_overlay(out.image, out.label_map, names,
                                                                 [COLOURS[name] for name in names])
    figure = Figure(figsize=(4 * len(panels), 4.4), layout='constrained', dpi=100)
    for axes, (title, picture) in zip(figure.subplots(1, len(panels)), panels.items()):
        axes.imshow(picture)
        axes.set_title(title, fontsize=13, family='monospace')
        axes.set_anchor('N')
        axes.axis('off')
    target = sys.argv[1] if sys.argv[1:] else PHOTO.with_name('by_names.png')
    figure.savefig(target)


if __name__ == '__main__':
    main()

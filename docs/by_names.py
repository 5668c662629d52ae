"""Draws the first picture of the README, a picture under two lists of names: python docs/by_names.py [FILE]."""
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import draw_scene

SCENE = Image.fromarray(draw_scene(1, 'test', size=256).image)
LISTS = ('bird, picture', 'bird, rocket, picture')


def main() -> None:
    seg = OpenVocabInferencer(clip=dict(model='toy-vit', weights='toy'), device='cpu')  # NACLIP, the default
    panels = {'photo.png': SCENE, **{f"classes='{names}'": seg(SCENE, classes=names).draw() for names in LISTS}}
    figure = Figure(figsize=(3 * len(panels), 3.5), layout='constrained', dpi=100)
    for axes, (title, picture) in zip(figure.subplots(1, len(panels)), panels.items()):
        axes.imshow(picture)
        axes.set_title(title, fontsize=11, family='monospace')
        axes.set_anchor('N')
        axes.axis('off')
    target = sys.argv[1] if sys.argv[1:] else Path(__file__).with_name('images') / 'by_names.jpg'
    figure.savefig(target, pil_kwargs=dict(quality=90))


if __name__ == '__main__':
    main()

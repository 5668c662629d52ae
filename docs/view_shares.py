"""Draws where each prompt wins in an object: python docs/view_shares.py CHECKPOINT [FILE].

CHECKPOINT is of configs/mvp_seg/toy_zs_logsumexp.py. The rule of choice: of the objects of unseen classes in the test
pictures 0 to 199 that are found (IoU of the class above 0.7), draw the one whose least frequent prompt wins at the
largest share of its pixels.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.visualization.charts import draw_views
from mmseg_mvp.visualization.explanation import prompt_titles
from mmseg_mvp.vocabularies import class_names

LEAST_IOU, PICTURES = 0.7, 200
CONFIG = Path(__file__).parents[1] / 'configs/mvp_seg/toy_zs_logsumexp.py'


def shares(winners: np.ndarray, views: int) -> np.ndarray:
    """Return the share of each view, (views,), among pixels with a winner, (H, W), -1 for none."""
    counts = np.bincount(winners[winners >= 0], minlength=views)
    return counts / counts.sum()


def candidates(seg: OpenVocabInferencer):
    """Yield least share, picture, class, maps (k, H, W) and winners (H, W) of each object that is found."""
    unseen = {CLASSES.index(name) for name in class_names('toy:unseen')}
    for picture in range(PICTURES):
        scene = draw_scene(picture, 'test')
        out = seg(Image.fromarray(scene.image))
        for label in unseen & set(np.unique(scene.labels).tolist()):
            truth, scored = scene.labels == label, scene.labels != 255
            found = (out.label_map == label) & scored
            if (truth & found).sum() / (truth | found).sum() > LEAST_IOU:
                maps = out.explanation.views(label, 1).cpu().numpy()
                winners = np.where(truth & found, maps.argmax(axis=0), -1)
                yield shares(winners, len(maps)).min(), picture, label, maps, winners


def main() -> None:
    if not sys.argv[1:]:
        sys.exit('error: CHECKPOINT is missing: python docs/view_shares.py CHECKPOINT [FILE]')
    seg = OpenVocabInferencer(str(CONFIG), sys.argv[1], device='cpu')
    _, picture, label, maps, winners = max(candidates(seg), key=lambda one: one[0])
    image = np.kron(draw_scene(picture, 'test').image, np.ones((4, 4, 1), np.uint8))
    target = sys.argv[2] if sys.argv[2:] else Path(__file__).with_name('images') / 'view_shares.png'
    titles = prompt_titles(len(maps), has_global=False)
    Image.fromarray(draw_views(image, maps, CLASSES[label], titles, winners)).save(target)
    print(f'picture {picture}, {CLASSES[label]}: shares {np.round(shares(winners, len(maps)), 2).tolist()}')


if __name__ == '__main__':
    main()

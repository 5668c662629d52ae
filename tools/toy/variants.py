"""Dense variants and refinement on the toy world: python tools/toy/variants.py; writes docs/toy_variants.* and a strip.

Each variant of toy-rn and toy-vit is tested with CLIP's sentences, and with prompts of MVP-SEG that are learned on it.
All are tested without and with refined borders (PAMR). After a stop, the same command continues.
"""
import itertools
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cached
import numpy as np
import runs
import tables
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mmseg_mvp import app
from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.clip import VIT_VARIANTS
from mmseg_mvp.datasets.toy.dataset import ToySceneDataset
from mmseg_mvp.datasets.toy.scenes import Scene, draw_scene
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.models.modules.pamr import build_refinement
from mmseg_mvp.visualization.legend import draw_legend, resize, stack
from mmseg_mvp.visualization.side_by_side import classes_present, compared_panels, panel_row

MIDDLE = [1, 2, 3]  # blocks of ResCLIP; its own are beyond the five of toy-vit
VARIANTS = {  # CLIP and its dense variant
    **{name: ('toy-rn', name) for name in ('maskclip', 'kk', 'qq', 'vv')},
    'kk + G': ('toy-rn', dict(type='kk', neighbourhood=2.)),
    **{f'ViT {name}': ('toy-vit', name) for name in VIT_VARIANTS},
    'ViT resclip': ('toy-vit', dict(type='resclip', middle=MIDDLE)),
}
SENTENCES = "CLIP's sentences"
METHODS = {  # config and options
    SENTENCES: ('maskclip/toy_zs', {}),
    'MVP-SEG as printed': ('mvp_seg/toy_zs', {'model.decode_head.loss_oc.squared': False}),
    'MVP-SEG, log-sum-exp': ('mvp_seg/toy_zs_logsumexp', {}),
}
PAMR = dict(type='PAMR', dilations=(1, 2, 4, 8))  # chosen on `val`; the default is for large photos
SPLITS = {'`val`': 'hIoU_val', '`test`': 'hIoU'}
CLIPS = {'toy-rn': 'the ResNet', 'toy-vit': 'the ViT'}
ROWS = {f'{variant}, {method}': (variant, method)
        for clip in CLIPS for method in METHODS for variant, (owner, _) in VARIANTS.items() if owner == clip}
STRIP = ('maskclip', 'vv', 'ViT maskclip', 'ViT kk')
SCENES, SIDE, OBJECTS = 4, 128, 3  # rows of the strip, pixels of a panel, objects in a picture


@lru_cache(maxsize=1)
def trained(row: str, seed: int, work_dir: Path) -> Runner:
    """Return the runner of a row after training, if its method learns."""
    variant, method = ROWS[row]
    config, options = METHODS[method]
    cfg = runs.read_config(config, work_dir / f'{list(ROWS).index(row)}_{seed}', seed,
                           {**settings(variant), **options})
    runner = cached.build_runner(cfg)
    if cfg.train_dataloader is not None:
        runner.train()
    return runner


def settings(variant: str) -> dict:
    """Return the settings of a variant by their dotted keys."""
    clip, dense = VARIANTS[variant]
    return {'model.clip.model': clip, 'model.backbone.dense': dense}


def run(row: str, seed: int, refined: int, work_dir: Path) -> dict[str, float]:
    """Test a row; return its metrics on `test` in percent, and ``hIoU_val`` on `val`."""
    runner = trained(row, seed, work_dir)
    runner.model.refinement = build_refinement(PAMR if refined else None)
    return {'hIoU_val': float(runner.val()['hIoU']), **runner.test()}


def page_tables(results: list[dict]) -> str:
    """Return a table of each CLIP and split, with a column without and with PAMR."""
    columns = {'plain': {'refined': 0}, 'PAMR': {'refined': 1}}
    found = {clip: [one for one in results if VARIANTS[ROWS[one['row']][0]][0] == clip] for clip in CLIPS}
    return '\n\n'.join(f'**hIoU of {CLIPS[clip]} on {title}**\n\n{tables.by_group(some, columns, metric)}'
                       for clip, some in found.items() for title, metric in SPLITS.items() if some)


def draw_strip() -> np.ndarray:
    """Draw the first test pictures with three objects: image, truth, and predictions with CLIP's sentences."""
    models = {}
    for variant in STRIP:
        cfg = Config.fromfile(runs.ROOT / 'configs/maskclip/toy_zs.py')
        cfg.merge_from_dict(settings(variant))
        models[variant] = OpenVocabInferencer(cfg, device='cpu')
        models[f'{variant}, PAMR'] = OpenVocabInferencer(cfg, device='cpu', refine=PAMR)
    scenes = (draw_scene(index, 'test') for index in itertools.count())
    chosen = itertools.islice((one for one in scenes if len(objects(one.labels)) == OBJECTS), SCENES)
    names, palette = (ToySceneDataset.METAINFO[key] for key in ('classes', 'palette'))
    rows, seen = [], []
    for scene in chosen:
        found = {name: seg(Image.fromarray(scene.image)).label_map for name, seg in models.items()}
        rows.append(panel_row(panels(scene, found, palette)))
        seen += [np.where(scene.labels == IGNORE, IGNORE, labels) for labels in (scene.labels, *found.values())]
    picture = np.vstack(rows)
    legend = [(names[i], palette[i]) for i in classes_present(seen, len(names))]
    return stack(picture, draw_legend(legend, picture.shape[1]))


def objects(labels: np.ndarray) -> set[int]:
    """Return the classes in a label map."""
    return set(np.unique(labels).tolist()) - {IGNORE}


def panels(scene: Scene, found: dict[str, np.ndarray], palette: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """Draw titled panels: image, truth and predictions; pixels that are not scored are hatched."""
    size = SIDE, SIDE
    maps = {title: resize(labels, size) for title, labels in {'truth': scene.labels, **found}.items()}
    return {'image': resize(scene.image, size, smooth=True),
            **compared_panels(maps, maps['truth'] != IGNORE, palette)}


def main() -> None:
    args = runs.arguments('toy_variants', __doc__).parse_args()
    jobs = [dict(row=row, seed=seed, refined=refined) for row, (_, method) in ROWS.items() for seed in args.seeds
            for refined in (0, 1) if method != SENTENCES or seed == args.seeds[0]]
    results = tables.collect(jobs, lambda **job: run(**job, work_dir=args.work_dir), args.work_dir / 'results.csv')
    order = list(ROWS)
    results.sort(key=lambda one: (order.index(one['row']), one['seed'], one['refined']))
    print(tables.write(results, args.docs / 'toy_variants.md', page_tables(results)))
    Image.fromarray(draw_strip()).save(args.docs / 'images/toy_variants.png')


if __name__ == '__main__':
    with app.user_errors():
        main()

"""Examples as classes on the toy world: python tools/toy/examples.py; writes docs/toy_examples.* and a picture strip.

Each method scores classes by words, by examples (pictures of `train` with a mask), and by both. Examples are given for
the unseen classes alone, the others have words, or for all classes. A seed draws the examples; the networks are trained
once. After a stop, the same command continues.
"""
import itertools
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import runs
import tables
import torch
from mmengine.runner import Runner
from mmseg.models.utils import resize
from PIL import Image
from torch import Tensor
from variants import objects, panels

from mmseg_mvp import app
from mmseg_mvp.apis import Example, ExampleClasses, OpenVocabInferencer
from mmseg_mvp.apis.example_embedding import read_classes
from mmseg_mvp.datasets.toy.dataset import ToySceneDataset
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.evaluation import ZeroShotIoUMetric
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.visualization.legend import draw_legend, stack
from mmseg_mvp.visualization.side_by_side import classes_present, panel_row
from mmseg_mvp.vocabularies import class_names, load_vocabulary

METHODS = {  # config and iterations; None needs no training
    'MaskCLIP': ('maskclip/toy_zs', None),
    'MVP-SEG': ('mvp_seg/toy_zs', 450),
    'MVP-SEG+': ('mvp_seg_plus/toy_zs', 300),
    'LSeg': ('lseg/toy_zs', 300),
}
KINDS = ('words', 'examples', 'both')
WEIGHTS = (25, 50, 75)  # weight of examples beside words in %; one example of the first seed tries them all
CHOSEN = 50
SHOTS = (1, 5)
UNSEEN = class_names('toy:unseen')
TESTED, BATCH = 500, 50  # pictures of `val` and of `test`
PICTURES, LEAST = 1024, 40  # pictures of `train`, and fewest pixels of a class in an example
COLUMNS = {'no examples': {'shots': 0}, **{
    f'{shots} per {which}': {'shots': shots, 'every': every, 'weight': CHOSEN}
    for every, which in ((0, 'unseen class'), (1, 'class')) for shots in SHOTS}}
STRIP = [('MaskCLIP', 'words'), ('MaskCLIP', 'examples'), ('LSeg', 'words'), ('LSeg', 'examples')]
SCENES = 4


def checkpoint(method: str, work_dir: Path) -> Path:
    """Return the checkpoint of a method, trained if it is missing, or the config of a method without training."""
    config, iterations = METHODS[method]
    if iterations is None:
        return runs.ROOT / 'configs' / f'{config}.py'
    path = work_dir / method / f'iter_{iterations}.pth'
    if not path.exists():
        teacher = {'model.teacher_checkpoint': str(checkpoint('MVP-SEG', work_dir))} if method == 'MVP-SEG+' else {}
        Runner.from_cfg(runs.read_config(config, path.parent, 0, teacher)).train()
    return path


@lru_cache(maxsize=1)
def built(method: str, work_dir: Path) -> OpenVocabInferencer:
    """Return the inferencer of a method."""
    return OpenVocabInferencer(str(checkpoint(method, work_dir)), device='cpu')


@cache
def scenes(split: str) -> tuple[list[Tensor], Tensor]:
    """Return the pictures of a split, (3, H, W) BGR, and their labels, (N, H, W)."""
    drawn_scenes = [draw_scene(index, split) for index in range(TESTED)]
    return ([torch.from_numpy(scene.image[..., ::-1].copy()).permute(2, 0, 1) for scene in drawn_scenes],
            torch.from_numpy(np.stack([scene.labels for scene in drawn_scenes])).long())


@lru_cache(maxsize=2)
@torch.no_grad()
def features(method: str, split: str, work_dir: Path) -> list[tuple[Tensor, ...]]:
    """Return the maps of the backbone, (B, C_i, h_i, w_i), of all pictures of a split, in batches."""
    model, pictures = built(method, work_dir).model, scenes(split)[0]
    batches = [dict(inputs=pictures[start:start + BATCH], data_samples=None) for start in range(0, TESTED, BATCH)]
    return [model.extract_feat(model.data_preprocessor(batch, False)['inputs']) for batch in batches]


@torch.no_grad()
def tested(method: str, split: str, work_dir: Path) -> dict[str, float]:
    """Return the metrics of the current classes of a method on a split, in percent."""
    model, labels = built(method, work_dir).model, scenes(split)[1]
    logits = torch.cat([model.decode_head(maps) for maps in features(method, split, work_dir)])
    found = resize(logits, labels.shape[1:], mode='bilinear', align_corners=model.align_corners).argmax(dim=1)
    hit, predicted, true = ZeroShotIoUMetric.intersect_and_union(
        found.flatten(0, 1), labels.flatten(0, 1), len(CLASSES), IGNORE).double()
    iou, unseen = 100 * hit / (predicted + true - hit), torch.tensor([name in UNSEEN for name in CLASSES])
    seen_mean, unseen_mean = iou[~unseen].mean().item(), iou[unseen].mean().item()
    return dict(mIoU_S=seen_mean, mIoU_U=unseen_mean, mIoU=iou.mean().item(),
                hIoU=2 * seen_mean * unseen_mean / (seen_mean + unseen_mean))


@cache
def areas() -> np.ndarray:
    """Return the pixels of each class in each picture of `train`, (N, C)."""
    return np.stack([np.bincount(draw_scene(index).labels.ravel(), minlength=IGNORE + 1)[:len(CLASSES)]
                     for index in range(PICTURES)])


@cache
def drawn(seed: int, shots: int) -> dict[str, list[Example]]:
    """Draw the examples of all classes; those of fewer shots are among those of more."""
    rng, found = np.random.default_rng(seed), {}
    for label, name in enumerate(CLASSES):
        chosen = rng.permutation(np.flatnonzero(areas()[:, label] >= LEAST))[:shots]
        shown = [draw_scene(int(index)) for index in chosen]
        found[name] = [Example(Image.fromarray(scene.image), mask=scene.labels == label) for scene in shown]
    return found


def classes_of(kind: str, seed: int, shots: int, every: int) -> dict[str, list]:
    """Return the classes of the toy world by words, examples or both."""
    names = () if kind == 'words' else CLASSES if every else UNSEEN
    classes = {name: list(wordings) for name, wordings in load_vocabulary('toy').items()}
    for name in names:
        classes[name] = [*(classes[name] if kind == 'both' else ()), *drawn(seed, shots)[name]]
    return classes


@cache
def embedded(method: str, seed: int, shots: int, every: int, work_dir: Path) -> ExampleClasses:
    """Return the embeddings of the examples."""
    return built(method, work_dir).embed_examples(classes_of('examples', seed, shots, every))


def run(row: str, seed: int, shots: int, every: int, weight: int, work_dir: Path) -> dict[str, float]:
    """Test a row; return its metrics on `test` in percent, and ``hIoU_val`` on `val`."""
    method, kind = row.split(', ')
    seg, classes = built(method, work_dir), classes_of('words', seed, shots, every)
    if kind != 'words':
        for name, (embedding, ) in embedded(method, seed, shots, every, work_dir).items():
            classes[name] = [*(classes[name] if kind == 'both' else ()), embedding]
    seg.model.set_classes(*read_classes(seg.model, classes, weight / 100, seg.embed_examples))
    return {'hIoU_val': tested(method, 'val', work_dir)['hIoU'], **tested(method, 'test', work_dir)}


def all_jobs(seeds: list[int]) -> list[dict]:
    """Return the runs of the study, method by method. Words have one run, other weights one example and one seed."""
    jobs = []
    for method in METHODS:
        jobs.append(dict(row=f'{method}, words', seed=seeds[0], shots=0, every=0, weight=0))
        for seed, shots, every in itertools.product(seeds, SHOTS, (0, 1)):
            job = dict(seed=seed, shots=shots, every=every)
            jobs.append(dict(row=f'{method}, examples', **job, weight=CHOSEN))
            jobs += [dict(row=f'{method}, both', **job, weight=weight) for weight in WEIGHTS
                     if weight == CHOSEN or (seed, shots) == (seeds[0], 1)]
    return jobs


def page_tables(results: list[dict]) -> str:
    """Return the tables of both splits, of the differences from words, and of the weights."""
    parts = [f'**{title}**\n\n{tables.by_group(results, COLUMNS, metric)}'
             for title, metric in (('hIoU on `val`', 'hIoU_val'), ('hIoU on `test`', 'hIoU'),
                                   ('mIoU of the unseen classes on `test`', 'mIoU_U'))]
    parts.append(f'**hIoU on `test`, minus that of words: mean, and runs above 0**\n\n{gains(results)}')
    first = [one for one in results if one['row'].endswith('both') and one['seed'] == results[0]['seed']
             and one['shots'] == 1]
    weights = {f'{weight} %, {which}': {'weight': weight, 'every': every}
               for every, which in ((0, 'unseen'), (1, 'all')) for weight in WEIGHTS}
    parts.append(f'**hIoU on `val` by the weight of the examples, one per class, first seed**\n\n'
                 f'{tables.by_group(first, weights, "hIoU_val")}')
    return '\n\n'.join(parts)


def gains(results: list[dict]) -> str:
    """Return a table of the differences from words, run by run."""
    words = {one['row'].split(', ')[0]: one['hIoU'] for one in results if one['row'].endswith('words')}
    rows = []
    for row in dict.fromkeys(one['row'] for one in results if not one['row'].endswith('words')):
        cells = []
        for group in list(COLUMNS.values())[1:]:
            found = [one['hIoU'] - words[row.split(', ')[0]] for one in results
                     if one['row'] == row and one.items() >= group.items()]
            cells.append(f'{np.mean(found):+.1f} ({sum(value > 0 for value in found)} of {len(found)})')
        rows.append([row, *cells])
    return tables.markdown(['row', *list(COLUMNS)[1:]], rows)


def draw_strip(work_dir: Path) -> np.ndarray:
    """Draw the first test pictures with three objects, one of them unseen: image, truth and predictions."""
    unseen = {CLASSES.index(name) for name in UNSEEN}
    chosen = (scene for scene in (draw_scene(index, 'test') for index in itertools.count())
              if len(objects(scene.labels)) == 3 and objects(scene.labels) & unseen)
    chosen, names = list(itertools.islice(chosen, SCENES)), ToySceneDataset.METAINFO['classes']
    maps = {}
    for method, kind in STRIP:
        seg, classes = built(method, work_dir), classes_of(kind, 0, SHOTS[-1], 0)
        maps[f'{method}, {kind}'] = [out.label_map for out in seg([Image.fromarray(s.image) for s in chosen], classes)]
    palette = ToySceneDataset.METAINFO['palette']
    picture = np.vstack([panel_row(panels(scene, {title: found[i] for title, found in maps.items()}, palette))
                         for i, scene in enumerate(chosen)])
    seen = [np.where(scene.labels == IGNORE, IGNORE, labels) for i, scene in enumerate(chosen)
            for labels in (scene.labels, *(found[i] for found in maps.values()))]
    legend = [(names[label], palette[label]) for label in classes_present(seen, len(names))]
    return stack(picture, draw_legend(legend, picture.shape[1]))


def main() -> None:
    args = runs.arguments('toy_examples', __doc__).parse_args()
    results = tables.collect(all_jobs(args.seeds), lambda **job: run(**job, work_dir=args.work_dir),
                             args.work_dir / 'results.csv')
    print(tables.write(results, args.docs / 'toy_examples.md', page_tables(results)))
    Image.fromarray(draw_strip(args.work_dir)).save(args.docs / 'images/toy_examples.png')


if __name__ == '__main__':
    with app.user_errors():
        main()

"""Few labelled pictures on the toy world: python tools/toy/few_shot.py; writes docs/toy_few_shot.* and a curve.

Each method learns all 20 classes from the masks of 1, 5, 20 or 100 pictures. Each seed draws other pictures. MaskCLIP
needs none. The student is the network of MVP-SEG+, trained on the masks alone. After a stop, the same command goes on.
"""
from pathlib import Path

import cached
import matplotlib
import numpy as np
import runs
import tables
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_mvp import app
from mmseg_mvp.app.adapting import default_steps, set_steps
from mmseg_mvp.labels import IGNORE, hidden_truth
from mmseg_mvp.models import KnowledgeTransfer
from mmseg_mvp.vocabularies import class_names

PICTURES, POOL = (1, 5, 20, 100), 1024  # labelled pictures of a run; pictures to draw them from
MASKCLIP = 'MaskCLIP, no pictures'
# Method: config and options.
METHODS = {
    'MVP-SEG, k=1': ('mvp_seg/toy_zs_logsumexp', {'model.decode_head.prompts.num_prompts': 1}),
    'MVP-SEG, k=3': ('mvp_seg/toy_zs_logsumexp', {}),
    'student of the masks': ('mvp_seg_plus/toy_unlabelled', {'model.type': 'TaughtByMasks'}),
}
MASKS = [dict(type='DrawToyScene'), dict(type='PackSegInputs')]


@MODELS.register_module(force=True)
class TaughtByMasks(KnowledgeTransfer):
    """Student with ground truth instead of pseudo labels; background is ignored."""

    def _fill(self, label: Tensor, *args) -> tuple[Tensor, dict]:
        truth = hidden_truth(label)
        return torch.where(truth < 0, IGNORE, truth), {}


def read_config(method: str, pictures: int, seed: int, work_dir: Path) -> Config:
    """Read the config of a method that learns from a few pictures."""
    config, options = METHODS[method]
    folder = work_dir / f'{list(METHODS).index(method)}_{pictures}_{seed}'
    cfg = runs.read_config(config, folder, seed, options)
    cfg.train_dataloader.dataset.indices = np.random.default_rng(seed).permutation(POOL)[:pictures].tolist()
    if cfg.model.type == 'CLIPEncoderDecoder':
        cfg.model.decode_head.train_classes = 'toy'
        cfg.train_dataloader.dataset.update(metainfo=dict(classes=class_names('toy')), pipeline=MASKS)
        set_steps(cfg, default_steps(pictures))
    return cfg


def run(row: str, pictures: int, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row; return its metrics on `test` in percent, and ``mIoU_val`` on `val`."""
    if row == MASKCLIP:
        runner = cached.build_runner(runs.read_config('maskclip/toy_zs', work_dir / 'maskclip', seed, {}))
    else:
        cfg = read_config(row, pictures, seed, work_dir)
        runner = Runner.from_cfg(cfg) if 'student' in row else cached.build_runner(cfg)
        runner.train()
    return {'mIoU_val': float(runner.val()['mIoU']), **runner.test()}


def page_table(results: list[dict]) -> str:
    """Return a table of mIoU with a column for each number of pictures."""
    columns = {f'{count} pictures' if count > 1 else '1 picture': {'pictures': count} for count in PICTURES}
    learned = [one for one in results if one['pictures']]
    baseline, = [one for one in results if not one['pictures']]
    note = f'{MASKCLIP}: {baseline["mIoU"]:.1f} (`val`: {baseline["mIoU_val"]:.1f}).'
    return '\n\n'.join([f'**mIoU on `test`**\n\n{tables.by_group(learned, columns, "mIoU")}',
                        f'**mIoU on `val`**\n\n{tables.by_group(learned, columns, "mIoU_val")}', note])


def draw_curve(results: list[dict], path: Path) -> None:
    """Draw mIoU over the number of pictures, mean and spread over the seeds, and save it as PNG."""
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.2), layout='constrained')
    baseline, = [one['mIoU'] for one in results if not one['pictures']]
    axes.axhline(baseline, color='grey', linestyle='--', label=MASKCLIP)
    for row in METHODS:
        values = np.array([[one['mIoU'] for one in results if one['row'] == row and one['pictures'] == count]
                           for count in PICTURES])  # (pictures, seeds)
        axes.errorbar(PICTURES, values.mean(axis=1), values.std(axis=1, ddof=1), marker='o', capsize=3, label=row)
    axes.set(xscale='log', xticks=PICTURES, xticklabels=PICTURES, xlabel='labelled pictures', ylabel='mIoU, test (%)')
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    args = runs.arguments('toy_few_shot', __doc__).parse_args()
    jobs = [dict(row=MASKCLIP, pictures=0, seed=args.seeds[0])]
    jobs += [dict(row=row, pictures=count, seed=seed) for row in METHODS for count in PICTURES for seed in args.seeds]
    results = tables.collect(jobs, lambda **job: run(**job, work_dir=args.work_dir), args.work_dir / 'results.csv')
    order = [MASKCLIP, *METHODS]
    results.sort(key=lambda one: (order.index(one['row']), one['pictures'], one['seed']))
    print(tables.write(results, args.docs / 'toy_few_shot.md', page_table(results)))
    draw_curve(results, args.docs / 'images/toy_few_shot.png')


if __name__ == '__main__':
    with app.user_errors():
        main()

"""Feature bank against training on pictures, on the toy world: python tools/toy/bank.py; writes docs/toy_bank.*.

MVP-SEG trains on crops of random scale, place, flip and colours. Online, each access draws a new crop. A feature bank
has A crops of each picture, drawn before the training with the seed of the run. After a stop, the same command goes on.
"""
import math
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

import cached
import matplotlib.pyplot as plt
import runs
import tables
from scipy import stats

from mmseg_mvp import app

ONLINE = 'online'
CROPS = {ONLINE: None, **{f'bank, A = {count}': count for count in (1, 2, 4, 8)}}
IMAGES = (20, 1024)  # training pictures
COLOURS = dict(zip(IMAGES, ('#0072b2', '#d55e00')))  # safe for colour-blind readers
SPLITS = {'hIoU on `val`': 'hIoU_val', 'hIoU on `test`': 'hIoU'}
PIPELINE = [dict(type='DrawToyScene'),
            dict(type='RandomResize', scale=(64, 64), ratio_range=(0.8, 2.0), keep_ratio=True),
            dict(type='CountingRandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackSegInputs')]


def run(row: str, images: int, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test a row; return its metrics on `test` in percent, and ``hIoU_val`` on `val`."""
    folder = work_dir / f'{images}_{CROPS[row] or ONLINE}_{seed}'
    cfg = runs.read_config('mvp_seg/toy_zs', folder, seed, {
        'train_dataloader.dataset.pipeline': PIPELINE, 'train_dataloader.dataset.num_images': images,
        'train_cfg.val_interval': 10**6})
    for name in ('val_dataloader', 'test_dataloader'):
        cfg[name].dataset.type = 'CachedScenes'
    if CROPS[row]:
        cfg.feature_bank = dict(dir=str(folder / 'bank'), augmentations=CROPS[row], seed=seed)
    runner = app.build_runner(cfg, ['train_dataloader'])
    app.use_feature_bank(runner)
    runner.train()
    shutil.rmtree(folder / 'bank', ignore_errors=True)
    cached.cache_features(runner.model, str(cfg.model.backbone))  # val and test are the same in all runs
    return {'hIoU_val': float(runner.val()['hIoU']), **runner.test()}


def page_tables(results: list[dict]) -> str:
    """Return a table of each split, and one of the differences on `val`, with a column per number of pictures."""
    groups = {f'{images} pictures': {'images': images} for images in IMAGES}
    parts = [f'**{title}**\n\n{tables.by_group(results, groups, metric)}' for title, metric in SPLITS.items()]
    rows = [[row, *(_difference(results, row, group, metric) for metric in SPLITS.values()
                    for group in groups.values())] for row in CROPS if row != ONLINE]
    header = ['minus online', *(f'`{split}`, {group}' for split in ('val', 'test') for group in groups)]
    return '\n\n'.join([*parts, '**Difference to online, paired by seed, with 95 % t interval**',
                        tables.markdown(header, rows)])


def _difference(results: Sequence[dict], row: str, group: dict, metric: str) -> str:
    """Write mean and half of the 95 % interval of the differences to online, seed by seed."""
    values = [one[metric] - other[metric] for one in results for other in results
              if (one['row'], other['row']) == (row, ONLINE) and one['seed'] == other['seed']
              and one.items() >= group.items() and other.items() >= group.items()]
    if len(values) < 2:
        return ''
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return f'{statistics.mean(values):+.1f} ± {half:.1f}'


def draw(results: Sequence[dict], path: Path) -> None:
    """Draw hIoU against A for each number of pictures, with the mean of online training as a dashed line."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout='constrained', sharey=True)
    for axis, (title, metric) in zip(axes, SPLITS.items()):
        for images, colour in COLOURS.items():
            values = {count: [one[metric] for one in results if (one['row'], one['images']) == (row, images)]
                      for row, count in CROPS.items()}
            online = values.pop(None)
            means = [statistics.mean(found) for found in values.values()]
            axis.plot(list(values), means, color=colour, marker='o', markersize=3, label=f'{images} pictures')
            for count, found in values.items():
                axis.scatter([count] * len(found), found, color=colour, s=14, alpha=0.6)
            axis.axhline(statistics.mean(online), color=colour, linestyle='--', linewidth=1)
            axis.axhspan(min(online), max(online), color=colour, alpha=0.12, linewidth=0)
        axis.set(title=title.replace('`', ''), xlabel='crops per picture, A', xscale='log')
        axis.set_xticks(list(values), map(str, values))
        axis.minorticks_off()
        axis.spines[['top', 'right']].set_visible(False)
    axes[0].set_ylabel('hIoU in %')
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    args = runs.arguments('toy_bank', __doc__).parse_args()
    jobs = [dict(row=row, images=images, seed=seed) for images in IMAGES for seed in args.seeds for row in CROPS]
    results = tables.collect(jobs, lambda **job: run(**job, work_dir=args.work_dir), args.work_dir / 'results.csv')
    order = list(CROPS)
    results.sort(key=lambda one: (order.index(one['row']), one['images'], one['seed']))
    print(tables.write(results, args.docs / 'toy_bank.md', page_tables(results)))
    draw(results, args.docs / 'images/toy_bank.png')


if __name__ == '__main__':
    with app.user_errors():
        main()

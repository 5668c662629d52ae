"""LSeg on the toy world: python tools/toy/lseg.py [--seeds 0 1 2]; writes docs/toy_lseg.* and its plot.

The rows are the ablation of spatial regularization (LSeg, arXiv 2201.03546), block type against depth, and MVP-SEG.
Each is trained on the seen classes and tested on the test split, with the settings of its toy_zs.py in configs/. The
figures show the effect of the method's parts in the toy world only, not on real images. After a stop, the same command
continues.
"""
import csv
import json
from pathlib import Path

import lseg_plot
import lseg_statistics
import readme
import runs
import tables
from mmengine.runner import Runner

from mmseg_mvp import app

DEPTH_0 = 'LSeg without regularization (depth 0)'
# Row: config, block type and depth.
ROWS = {
    'MVP-SEG': ('mvp_seg/toy_zs', None, 0),
    DEPTH_0: ('lseg/toy_zs', 'depthwise', 0),
    **{f'LSeg, {block}, depth {depth}': ('lseg/toy_zs', block, depth)
       for block in ('depthwise', 'bottleneck') for depth in (1, 2, 4)},
}


def folder(row: str, seed: int, work_dir: Path) -> Path:
    """Return the work dir of a row and a seed."""
    return work_dir / f'{list(ROWS).index(row)}_{seed}'


def run(row: str, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row with one seed; return its metrics in percent and write ``statistics.json`` of LSeg."""
    config, block, depth = ROWS[row]
    cfg = runs.read_config(config, folder(row, seed, work_dir), seed, {})
    if block is not None:
        cfg.model.decode_head.regularization = dict(type='SpatialRegularization', block=block, depth=depth)
    runner = Runner.from_cfg(cfg)
    runner.train()
    metrics = runner.test()
    if block is not None:
        scores = lseg_statistics.scores(runner.model, runner.test_dataloader)
        trained = lseg_statistics.after_each_block(runner.model.decode_head.conv_seg.regularization, scores)
        statistics = [dict(row=row, seed=seed, state='trained', **one) for one in trained]
        if row == DEPTH_0:
            statistics += [dict(row='scores of depth 0', seed=seed, state='fresh', **one)
                           for one in lseg_statistics.of_fresh_blocks(scores)]
        (folder(row, seed, work_dir) / 'statistics.json').write_text(json.dumps(statistics))
    return metrics


def write(rows: list[dict], path: Path) -> None:
    """Write dictionaries as CSV, with one column per key."""
    with open(path, 'w', newline='') as file:
        writer = csv.DictWriter(file, dict.fromkeys(key for row in rows for key in row))
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    args = runs.arguments('toy_lseg', __doc__).parse_args()
    jobs = [dict(row=row, seed=seed) for row in ROWS for seed in args.seeds]
    results = tables.collect(jobs, lambda row, seed: run(row, seed, args.work_dir), args.work_dir / 'results.csv')
    statistics = [one for job in jobs if ROWS[job['row']][1] is not None
                  for one in json.loads((folder(**job, work_dir=args.work_dir) / 'statistics.json').read_text())]
    print(tables.write(results, args.docs / 'toy_lseg.md'))
    readme.write(args.docs)
    write(statistics, args.docs / 'toy_lseg_activations.csv')
    lseg_plot.draw([dict(one, block=ROWS[one['row']][1], depth=ROWS[one['row']][2]) for one in results], statistics,
                   args.docs / 'images' / 'toy_lseg.png')


if __name__ == '__main__':
    with app.user_errors():
        main()

"""The paper's ablation on the toy world: python tools/toy/ablation.py [--seeds 0 1 2]; writes docs/toy_ablation.*.

Every row is trained on the seen classes and tested on the test split, by the settings of configs/mvp_seg/toy_zs.py. It
is a toy: its figures say what the parts of the method do here, nothing about real images.
"""
import argparse
import csv
import statistics
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_mvp import cli

ROOT = Path(__file__).resolve().parents[2]
METRICS = {'mIoU_S': 'mIoU(S)', 'mIoU_U': 'mIoU(U)', 'hIoU': 'hIoU', 'mIoU': 'mIoU'}
COLUMNS = ['row', 'seed', *METRICS]
NO_GPR = {'model.decode_head.gpr': None, 'model.decode_head.loss_presence': None,
          'model.decode_head.prompts.global_prompt': False}
NO_OC = {'model.decode_head.loss_oc': None}
ONE = {'model.decode_head.prompts.num_prompts': 1}
ROWS = {
    'templates (MaskCLIP)': None,
    'k=1': {**NO_GPR, **NO_OC, **ONE},
    'k=3': {**NO_GPR, **NO_OC},
    'k=3 + OCLoss': NO_GPR,
    'k=3 + OCLoss + GPR (BCE presence loss)': {},
    'k=3 + OCLoss + GPR (printed presence loss)': {'model.decode_head.loss_presence.form': 'printed'},
    'k=3 + GPR (BCE presence loss)': NO_OC,
    'k=1 + GPR (BCE presence loss)': {**NO_OC, **ONE},
}
START, END = '<!-- table: written by tools/toy/ablation.py -->', '<!-- end of table -->'


def run(row: str, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row with one seed; its metrics in percent."""
    options = ROWS[row]
    method = 'maskclip' if options is None else 'mvp_seg'
    cfg = Config.fromfile(ROOT / 'configs' / method / 'toy_zs.py')
    cfg.merge_from_dict({'work_dir': str(work_dir / f'{list(ROWS).index(row)}_{seed}'), 'log_level': 'WARNING',
                         'randomness.seed': seed, 'experiment_name': f'{list(ROWS).index(row)}_{seed}_{time.time()}',
                         **(options or {})})
    runner = Runner.from_cfg(cfg)
    if options is not None:
        runner.train()
    return runner.test()


def summarize(results: list[dict]) -> str:
    """A markdown table: mean and standard deviation over the seeds of each row."""
    lines = ['| row | ' + ' | '.join(METRICS.values()) + ' | seeds |', '|---' * (len(METRICS) + 2) + '|']
    for row in ROWS:
        runs = [one for one in results if one['row'] == row]
        cells = []
        for key in METRICS:
            values = [one[key] for one in runs]
            spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
            cells.append(f'{statistics.mean(values):.1f}{spread}')
        lines.append(f'| {row} | ' + ' | '.join(cells) + f' | {len(runs)} |')
    return '\n'.join(lines)


def write(results: list[dict], docs: Path) -> str:
    """Write the runs as CSV, and the table into its place on the page; the table."""
    with open(docs / 'toy_ablation.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction='ignore')
        writer.writeheader()
        writer.writerows(results)
    table, page = summarize(results), docs / 'toy_ablation.md'
    text = page.read_text() if page.exists() else f'# The ablation on the toy world\n\n{START}\n{END}\n'
    before, after = text.split(START)[0], text.split(END)[1]
    page.write_text(f'{before}{START}\n{table}\n{END}{after}')
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description='The ablation on the toy world')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/toy_ablation'))
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='folder for the table')
    args = parser.parse_args()
    # Templates learn nothing, so all seeds give the same figures.
    jobs = [(row, seed) for row in ROWS for seed in (args.seeds if ROWS[row] is not None else args.seeds[:1])]
    results, start = [], time.time()
    for done, (row, seed) in enumerate(jobs, 1):
        metrics = run(row, seed, args.work_dir)
        results.append(dict(row=row, seed=seed, **{key: round(metrics[key], 4) for key in METRICS}))
        left = (time.time() - start) / done * (len(jobs) - done)
        eta = f'eta {left / 60:.0f} min'
        print(f'[{done}/{len(jobs)}, {eta}] {row}, seed {seed}: hIoU {metrics["hIoU"]:.2f}', flush=True)
    args.docs.mkdir(exist_ok=True)
    print(write(results, args.docs))


if __name__ == '__main__':
    with cli.user_errors():
        main()

"""The paper's ablation on the toy world: python tools/toy/ablation.py [--seeds 0 1 2]; writes docs/toy_ablation.*.

Each row is trained on the seen classes and tested on the test split, with the settings of configs/mvp_seg/toy_zs.py.
The figures show the effect of the method's parts in the toy world only, not on real images.
"""
import argparse
import time
from pathlib import Path

import tables
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_mvp import app

ROOT = Path(__file__).resolve().parents[2]
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


def run(row: str, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row with one seed; return its metrics in percent."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description='The ablation on the toy world')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='seeds of the runs')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/toy_ablation'), help='folder of the runs')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='folder for the table')
    args = parser.parse_args()
    # Templates are not trained, so all seeds give the same figures.
    jobs = [dict(row=row, seed=seed) for row in ROWS
            for seed in (args.seeds if ROWS[row] is not None else args.seeds[:1])]
    results = tables.collect(jobs, lambda row, seed: run(row, seed, args.work_dir))
    print(tables.write(results, args.docs / 'toy_ablation.md'))


if __name__ == '__main__':
    with app.user_errors():
        main()

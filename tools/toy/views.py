"""Do several prompts cooperate? Runs over numbers of prompts, fusions and OCLoss: python tools/toy/views.py.

It writes docs/toy_views.md and docs/toy_views.csv. Each run learns prompts with the settings of
configs/mvp_seg/toy_zs.py and tests them on the split `test`, under each CLIP and each seed of the prompts. CLIP 0 is
the shipped one; others are trained first, in ten minutes each. After a stop, the same command continues. After a change
of the code, name a new --work-dir.
"""
import argparse
import subprocess
import sys
import time
from pathlib import Path

import cached
import tables
from mmengine.config import Config

from mmseg_mvp import app

ROOT = Path(__file__).resolve().parents[2]
NO_GPR = {'gpr': None, 'loss_presence': None, 'prompts.global_prompt': False}
OC_LOSS = {'': {'loss_oc': None}, ', OCLoss': {}, ', squared OCLoss': {'loss_oc.squared': True}}
FUSIONS = {', sum': 'sum', ', log-sum-exp': 'logsumexp'}


def make_rows() -> dict[str, dict | None]:
    """Return the options of ``decode_head`` for each row; None for templates."""
    sizes = [(1, 6), (1, 18), (2, 6), (2, 9), (3, 6), (5, 6), (5, 4)]  # k prompts of M context vectors
    rows = {'templates': None}
    for k, length in sizes:
        for fusion in FUSIONS if k > 1 else ('', ):
            for loss in OC_LOSS if k == 3 else ('', ):
                for gpr in ('', ' + GPR'):
                    rows[f'k={k}, M={length}{fusion}{loss}{gpr}'] = {
                        'prompts.num_prompts': k, 'prompts.context_length': length,
                        'fusion': FUSIONS.get(fusion, 'sum'), **OC_LOSS[loss], **({} if gpr else NO_GPR)}
    return rows


ROWS = make_rows()
# Compared rows: the first minus the second, of equal CLIP and seed.
PAIRS = [
    ('k=3, M=6, sum + GPR', 'k=1, M=6 + GPR'), ('k=3, M=6, sum + GPR', 'k=1, M=18 + GPR'),
    ('k=3, M=6, log-sum-exp + GPR', 'k=1, M=18 + GPR'), ('k=3, M=6, log-sum-exp + GPR', 'k=3, M=6, sum + GPR'),
    ('k=3, M=6, log-sum-exp', 'k=3, M=6, sum'), ('k=2, M=9, log-sum-exp + GPR', 'k=1, M=18 + GPR'),
    ('k=5, M=4, log-sum-exp + GPR', 'k=1, M=18 + GPR'), ('k=3, M=6, sum, OCLoss + GPR', 'k=3, M=6, sum + GPR'),
    ('k=3, M=6, sum, squared OCLoss + GPR', 'k=3, M=6, sum + GPR'),
    ('k=3, M=6, log-sum-exp, squared OCLoss + GPR', 'k=3, M=6, log-sum-exp + GPR'),
]


def clip_weights(seed: int, folder: Path) -> str:
    """Return the weights of a toy CLIP; train it if its file is missing."""
    if seed == 0:
        return 'toy'
    path = folder / f'toy-rn_{seed}.safetensors'
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, ROOT / 'tools/toy/train_clip.py', '--seed', str(seed), '--out', path]
        subprocess.run(command, check=True)
    return str(path.resolve())


def run(row: str, clip: int, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row with one CLIP and one seed of the prompts; return its metrics in percent."""
    options = ROWS[row]
    cfg = Config.fromfile(ROOT / 'configs' / ('maskclip' if options is None else 'mvp_seg') / 'toy_zs.py')
    name = f'{list(ROWS).index(row)}_{clip}_{seed}'
    cfg.merge_from_dict({'work_dir': str(work_dir / name), 'experiment_name': f'{name}_{time.time()}',
                         'log_level': 'WARNING', 'randomness.seed': seed,
                         'model.clip': dict(model='toy-rn', weights=clip_weights(clip, work_dir)),
                         **{f'model.decode_head.{key}': value for key, value in (options or {}).items()}})
    runner = cached.build_runner(cfg)
    if options is not None:
        runner.train()
    return runner.test()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--clips', type=int, nargs='+', default=[0, 1, 2], help='seeds of the toy CLIPs')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='seeds of the prompts')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/toy_views'), help='folder of the runs')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='folder for the tables')
    args = parser.parse_args()
    # Templates are not trained, so all seeds of the prompts give the same figures.
    jobs = [dict(row=row, clip=clip, seed=seed) for clip in args.clips for seed in args.seeds for row in ROWS
            if ROWS[row] is not None or seed == args.seeds[0]]
    results = tables.collect(jobs, lambda **job: run(**job, work_dir=args.work_dir), args.work_dir / 'results.csv')
    order = list(ROWS)
    results.sort(key=lambda one: order.index(one['row']))
    table = f'{tables.summarize(results)}\n\n{tables.differences(results, PAIRS)}'
    print(tables.write(results, args.docs / 'toy_views.md', table))


if __name__ == '__main__':
    with app.user_errors():
        main()

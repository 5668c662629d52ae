"""Kill training with SIGKILL, resume it and compare the results: python benchmarks/reliability/kill_trials.py.

Each trial trains a method on the toy world with random flips, scales, crops and colours. It is killed at a random time
or while it writes a checkpoint, and resumed with ``tools/train.py --resume``. Losses and the final weights, moving
average, optimizer and schedule are compared bit for bit with those of an uninterrupted run. Writes
``benchmarks/results/reliability/kill_trials.csv``. Exits with 1 if a trial differs or was not killed.
"""
import argparse
import builtins
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import mmengine
import torch
from mmengine.hooks import Hook

sys.path.append(str(Path(__file__).resolve().parents[1]))

from harness import environment  # noqa: E402  (one folder up)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'benchmarks' / 'results' / 'reliability'
ITERATIONS, INTERVAL = 36, 4  # iterations per run and between checkpoints
PIPELINE = '''[
    dict(type='DrawToyScene'),{hide}
    dict(type='RandomResize', scale=(64, 64), ratio_range=(0.8, 2.0), keep_ratio=True),
    dict(type='CountingRandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')]'''
HIDE = "\n    dict(type='HideClasses', classes='toy', unseen='toy:unseen'),"
CONFIG = '''_base_ = [{base!r}]
train_dataloader = dict(batch_size=4, num_workers={workers}, dataset=dict(pipeline={pipeline}))
val_dataloader = dict(dataset=dict(num_images=8))
train_cfg = dict(max_iters={iterations}, val_interval=15)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval={interval}))
{more}
'''
# Method: config, data loader workers and overrides. The student changes its teacher in the middle of the run.
METHODS = {
    'MVP-SEG': ('mvp_seg/toy_zs', 0, ''),
    'MVP-SEG+': ('mvp_seg_plus/toy_zs', 2,
                 'model = dict(teacher_checkpoint={teacher!r}, teacher_share=0.5, ema_momentum=0.1)'),
    'LSeg': ('lseg/toy_zs', 2, ''),
}
# Places of the kill: at any time; after half of a checkpoint is written; before a complete one gets its name; after the
# file with the name of the latest is emptied.
PLACES = ('anywhere', 'write', 'rename', 'pointer')


class KillHook(Hook):
    """Hook that kills its own process, so no cleanup runs.

    Args:
        place (str): One of ``PLACES``.
        when (float): Seconds after the start of training, or the iteration of the checkpoint.
    """

    def __init__(self, place: str, when: float) -> None:
        self.place, self.when = place, when

    def before_train(self, runner) -> None:
        if self.place == 'anywhere':
            threading.Timer(self.when, kill).start()
        elif self.place == 'rename':
            replace = os.replace
            os.replace = lambda source, target: kill() if self._is_due(target) else replace(source, target)
        else:
            self.open, builtins.open = builtins.open, self._open
            self.work_dir = Path(runner.work_dir)

    def _is_due(self, path: str | Path) -> bool:
        return Path(path).name in (f'iter_{self.when}.pth', f'.iter_{self.when}.part.pth')  # the second is temporary

    def _open(self, path, mode: str = 'r', *args, **kwargs):
        file = self.open(path, mode, *args, **kwargs)
        if self.place == 'write' and mode == 'wb' and self._is_due(path):
            return Half(file)
        if self.place == 'pointer' and mode == 'w' and Path(path).name == 'last_checkpoint' and (
                self.work_dir / f'iter_{self.when}.pth').exists():
            kill()  # opening has emptied the file
        return file


class Half:
    """File that kills the process after half of the first write."""

    def __init__(self, file) -> None:
        self.file = file

    def __enter__(self) -> 'Half':
        return self

    def __exit__(self, *error) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.file.write(data[:len(data) // 2])
        self.file.flush()
        kill()


def kill() -> None:
    """Kill this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def write_config(method: str, folder: Path, teacher: Path, iterations: int = ITERATIONS) -> Path:
    """Write the config of a short run of a method, with random augmentation; return its path.

    Args:
        method (str): One of ``METHODS``.
        folder (Path): Folder of the config.
        teacher (Path): Teacher checkpoint of MVP-SEG+.
        iterations (int): Iterations of the run.
    """
    base, workers, more = METHODS[method]
    pipeline = PIPELINE.format(hide=HIDE if method == 'MVP-SEG+' else '')
    path = folder / f'{base.split("/")[0]}.py'
    path.write_text(CONFIG.format(
        base=str(ROOT / 'configs' / f'{base}.py'), pipeline=pipeline, iterations=iterations, interval=INTERVAL,
        workers=workers, more=more.format(teacher=str(teacher))))
    return path


def train(config: Path, work_dir: Path, *flags, **options) -> subprocess.CompletedProcess:
    """Run tools/train.py in one process without CUDA; ``__`` in the names of options stands for a dot."""
    places = [str(ROOT), str(Path(__file__).parent), *filter(None, [os.environ.get('PYTHONPATH')])]
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(places), 'CUDA_VISIBLE_DEVICES': '-1', 'OMP_NUM_THREADS': '1'}
    pairs = [f'{key.replace("__", ".")}={value}' for key, value in options.items()]
    return subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config), '--work-dir', str(work_dir), *flags,
         *(['--cfg-options', *pairs] if pairs else [])], env=env, capture_output=True, text=True)


def finish(config: Path, work_dir: Path, *flags) -> str:
    """Train to the end; return the printed text. Exit if training fails."""
    done = train(config, work_dir, *flags)
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-3000:])
    return done.stdout + done.stderr


def kill_and_resume(config: Path, work_dir: Path, place: str, when: float) -> tuple[bool, int]:
    """Kill a run and resume it to its end; return True if killed, and the iteration it resumed from (0: start)."""
    hook = dict(type='kill_trials.KillHook', place=place, when=when)
    killed = train(config, work_dir, **{f'default_hooks__kill__{key}': value for key, value in hook.items()})
    resumed = re.search(r'resumed epoch: 0, iter: (\d+)', finish(config, work_dir, '--resume'))
    return killed.returncode == -signal.SIGKILL, int(resumed[1]) if resumed else 0


def losses(work_dir: Path) -> dict[int, dict[str, float]]:
    """Read logged values except times, by iteration; an iteration logged twice has the values of the later run."""
    logged = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in map(json.loads, path.read_text().splitlines()):
            if 'loss' in line:
                logged[line['iter']] = {key: value for key, value in line.items() if 'time' not in key}
    return logged


def duration(work_dir: Path) -> float:
    """Return the total time of a run's iterations, in seconds."""
    path, = work_dir.glob('*/vis_data/scalars.json')
    return sum(line['time'] for line in map(json.loads, path.read_text().splitlines()) if 'loss' in line)


def state(work_dir: Path) -> dict:
    """Load the last checkpoint of a run of this benchmark."""
    return torch.load((work_dir / 'last_checkpoint').read_text(), map_location='cpu', weights_only=True)


def same(first, second) -> bool:
    """Return True if nested values are equal bit for bit."""
    if torch.is_tensor(first):
        return torch.equal(first, second) and first.dtype == second.dtype
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def compare(one: Path, other: Path) -> dict[str, bool]:
    """Compare two finished runs bit for bit: logged values and the parts of their last checkpoints."""
    first, second = state(one), state(other)
    return dict(losses=losses(one) == losses(other), weights=same(first['state_dict'], second['state_dict']),
                optimizer=same(first['optimizer'], second['optimizer']),
                schedule=same(first['param_schedulers'], second['param_schedulers']))


def moments(trials: int, seconds: dict[str, float], seed: int) -> Iterator[tuple[str, str, float]]:
    """Yield method, place and time of each trial: alternately anywhere and at one of the checkpoint places in turn."""
    generator = random.Random(seed)
    places = [place for other in PLACES[1:] for place in ('anywhere', other)]
    for trial in range(trials):
        method, place = list(METHODS)[trial % len(METHODS)], places[trial // len(METHODS) % len(places)]
        yield method, place, round(generator.uniform(0, seconds[method]), 2) if place == 'anywhere' else (
            generator.randrange(INTERVAL, ITERATIONS, INTERVAL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--trials', type=int, default=20, help='number of killed runs')
    parser.add_argument('--seed', type=int, default=0, help='seed of the times of the kills')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/kill_trials'), help='new folder for the runs')
    parser.add_argument('--out', type=Path, default=RESULTS, help='folder of the CSV')
    args = parser.parse_args()
    args.work_dir.mkdir(parents=True)
    folder = args.work_dir.resolve()
    configs = {method: write_config(method, folder, folder / 'MVP-SEG' / f'iter_{ITERATIONS}.pth')
               for method in METHODS}
    for method, config in configs.items():
        finish(config, folder / method)
    rows = []
    seconds = {method: duration(folder / method) for method in METHODS}
    for trial, (method, place, when) in enumerate(moments(args.trials, seconds, args.seed), 1):
        killed, start = kill_and_resume(configs[method], folder / str(trial), place, when)
        common = compare(folder / method, folder / str(trial))
        rows.append({'trial': trial, 'method': method, 'workers': METHODS[method][1],
                     'killed in': place if killed else 'not killed', 'at': when, 'resumed from': start,
                     **{name: 'equal' if equal else 'DIFFER' for name, equal in common.items()},
                     **environment('cpu'), 'mmengine': mmengine.__version__})
        print(*list(rows[-1].values())[:10], sep='\t', flush=True)
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / 'kill_trials.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    sys.exit(any({'DIFFER', 'not killed'} & set(row.values()) for row in rows))


if __name__ == '__main__':
    main()

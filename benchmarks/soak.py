"""Long runs: resident memory during training and during inference with changing class lists; it must stay constant.

    python benchmarks/soak.py --iterations 2000 --inferences 1000

The first quarter is warm-up. The slope of the rest, by least squares, is reported in MiB per 1000 steps.
"""
import argparse
import csv
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import harness
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.vocabularies import class_names

CONFIGS = harness.RESULTS.parents[1] / 'configs'
WARM_UP = 0.25  # share of the steps
PAGE = 4096 / harness.MIB


def resident() -> float:
    """Return the resident memory of this process in MiB, from Linux."""
    return int(Path('/proc/self/statm').read_text().split()[1]) * PAGE


def slope(values: Sequence[float]) -> float:
    """Return the growth per 1000 steps by least squares, without the first quarter."""
    steps = np.arange(len(values))
    begin = int(len(values) * WARM_UP)
    return 1000 * float(np.polyfit(steps[begin:], values[begin:], 1)[0])


class MemoryHook(Hook):
    """Hook that records the resident memory after each training iteration, in MiB."""

    def __init__(self) -> None:
        self.mib = []

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Record the resident memory."""
        self.mib.append(resident())


def train(method: str, iterations: int) -> list[float]:
    """Train on the toy world without validation; return the resident memory after each iteration, in MiB."""
    cfg = Config.fromfile(CONFIGS / method / 'toy_zs.py')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks.checkpoint.interval = max(1, iterations // 20)
    cfg.default_hooks.checkpoint.max_keep_ckpts = 1
    cfg.default_hooks.logger.interval = max(1, iterations // 10)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir, cfg.experiment_name = folder, f'soak_{method}'
        cfg.visualizer.name = cfg.experiment_name  # mmengine has one visualizer per name and process
        runner, hook = Runner.from_cfg(cfg), MemoryHook()
        runner.register_hook(hook)
        runner.train()
    return hook.mib


def infer(inferences: int) -> tuple[list[float], int]:
    """Return the resident memory after each inference, in MiB, and the largest number of cached class lists."""
    seg, names, draw = (OpenVocabInferencer(CONFIGS / 'maskclip' / 'toy_zs.py', device='cpu'), class_names('toy'),
                        random.Random(0))
    image = draw_scene(0, 'test').image
    mib, held = [], 0
    for _ in range(inferences):
        out = seg(image, classes=draw.sample(names, draw.randint(2, len(names))))
        out.draw()
        held = max(held, len(seg.model.decode_head.classifier._cache))
        mib.append(resident())
    return mib, held


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--iterations', type=int, default=2000, help='training iterations (default: %(default)s)')
    parser.add_argument('--inferences', type=int, default=1000, help='with changing class lists (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=2, help='CPU threads')
    parser.add_argument('--out', type=Path, default=harness.RESULTS / 'reliability', help='folder of soak.csv')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for method in ('mvp_seg', 'lseg'):
        rows.append(summary(f'training {method}', train(method, args.iterations)))
    mib, held = infer(args.inferences)
    rows.append(dict(summary('inference', mib), lists_held=held))
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / 'soak.csv', 'w', newline='') as file:
        writer = csv.DictWriter(file, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)


def summary(what: str, mib: list[float]) -> dict:
    """Print and return a row of the table."""
    begin = int(len(mib) * WARM_UP)
    row = dict(what=what, steps=len(mib), warm_mib=round(mib[begin], 1), last_mib=round(mib[-1], 1),
               most_mib=round(max(mib[begin:]), 1), slope_mib_per_1000=round(slope(mib), 3),
               **harness.environment('cpu'))
    print(', '.join(f'{key} {value}' for key, value in row.items()), flush=True)
    return row


if __name__ == '__main__':
    main()

"""MVP-SEG+ on the toy world: python tools/toy/transfer.py [--seeds 0 1 2]; writes docs/toy_transfer.*.

For each seed a teacher learns its prompts on the seen classes, then students with the settings of
configs/mvp_seg_plus/toy_zs.py learn from it; all are tested on the test split. It is a toy: its figures say what the
parts of the method do here, nothing about real images.
"""
import argparse
import time
from pathlib import Path

import tables
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_mvp import cli
from mmseg_mvp.labels import IGNORE, hidden_truth, is_hidden
from mmseg_mvp.models import KnowledgeTransfer

ROOT = Path(__file__).resolve().parents[2]
PLUS = 'mvp_seg_plus/toy_zs'
# Config, what differs from it, and for a student of a learned teacher True.
ROWS = {
    'teacher: MVP-SEG': ('mvp_seg/toy_zs', {}, False),
    'student after phase 1 (10 % of the schedule)': (PLUS, {'checkpoint': 'iter_30.pth'}, True),
    'student after phase 2 (MVP-SEG+)': (PLUS, {}, True),
    'student whose teacher labels throughout': (PLUS, {'model.teacher_share': 1.}, True),
    'lower bound: student of seen labels only': (PLUS, {'model.type': 'SeenOnly'}, True),
    'upper bound: student of all labels': (PLUS, {'model.type': 'FullySupervised'}, True),
    'no annotations: MaskCLIP': ('maskclip/toy_zs', {}, False),
    'no annotations: student of MaskCLIP': ('mvp_seg_plus/toy_unlabelled', {}, False),
}
NAMES = list(ROWS)


@MODELS.register_module()
class SeenOnly(KnowledgeTransfer):
    """The same student without pseudo labels: hidden pixels are ignored."""

    def _fill(self, label: Tensor, *args) -> tuple[Tensor, dict]:
        return torch.where(is_hidden(label), IGNORE, label), {}


@MODELS.register_module()
class FullySupervised(KnowledgeTransfer):
    """The same student with the truth in place of pseudo labels."""

    def _fill(self, label: Tensor, *args) -> tuple[Tensor, dict]:
        return torch.where(is_hidden(label), hidden_truth(label), label), {}


def folder(row: str, seed: int, work_dir: Path) -> Path:
    """Where the runs of a row and a seed are kept."""
    return work_dir / f'{NAMES.index(row)}_{seed}'


def run(row: str, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row with one seed, the teacher's row first; its metrics in percent."""
    config, options, has_teacher = ROWS[row]
    cfg = Config.fromfile(ROOT / 'configs' / f'{config}.py')
    cfg.merge_from_dict({'work_dir': str(folder(row, seed, work_dir)), 'log_level': 'WARNING', 'randomness.seed': seed,
                         'experiment_name': f'{NAMES.index(row)}_{seed}_{time.time()}'})
    if has_teacher:
        cfg.model.teacher_checkpoint = str(folder(NAMES[0], seed, work_dir) / 'iter_450.pth')
        cfg.default_hooks.checkpoint.update(interval=30, max_keep_ckpts=-1)
    options = dict(options)
    if earlier := options.pop('checkpoint', None):  # of the row below, which has been trained already
        cfg.load_from = str(folder(NAMES[2], seed, work_dir) / earlier)
    cfg.merge_from_dict(options)
    runner = Runner.from_cfg(cfg)
    if cfg.train_dataloader is not None and not earlier:
        runner.train()
    return runner.test()


def main() -> None:
    parser = argparse.ArgumentParser(description='MVP-SEG+ on the toy world')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/toy_transfer'))
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='folder for the table')
    args = parser.parse_args()
    # The end of phase 1 is a checkpoint of the whole run; MaskCLIP itself learns nothing.
    order = sorted(ROWS, key=lambda row: 'checkpoint' in ROWS[row][1])
    jobs = [(row, seed) for row in order for seed in args.seeds
            if row != 'no annotations: MaskCLIP' or seed == args.seeds[0]]
    results = tables.collect(jobs, lambda row, seed: run(row, seed, args.work_dir))
    results.sort(key=lambda one: (NAMES.index(one['row']), one['seed']))
    print(tables.write(results, args.docs / 'toy_transfer.md'))


if __name__ == '__main__':
    with cli.user_errors():
        main()

"""MVP-SEG+ on the toy world: python tools/toy/transfer.py [--seeds 0 1 2]; writes docs/toy_transfer.*.

For each seed, a teacher trains its prompts on the seen classes. Students with the settings of
configs/mvp_seg_plus/toy_zs.py then train with it. All are tested on the test split. The figures show the effect of the
method's parts in the toy world only, not on real images. After a stop, the same command continues.
"""
from pathlib import Path

import readme
import runs
import tables
import torch
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_mvp import app
from mmseg_mvp.labels import IGNORE, hidden_truth, is_hidden
from mmseg_mvp.models import KnowledgeTransfer

PLUS = 'mvp_seg_plus/toy_zs'
# Row: config, overrides, and True for a student with a trained teacher.
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


@MODELS.register_module(force=True)
class SeenOnly(KnowledgeTransfer):
    """Student without pseudo labels; hidden pixels are ignored."""

    def _fill(self, label: Tensor, *args) -> tuple[Tensor, dict]:
        return torch.where(is_hidden(label), IGNORE, label), {}


@MODELS.register_module(force=True)
class FullySupervised(KnowledgeTransfer):
    """Student with ground truth instead of pseudo labels."""

    def _fill(self, label: Tensor, *args) -> tuple[Tensor, dict]:
        return torch.where(is_hidden(label), hidden_truth(label), label), {}


def folder(row: str, seed: int, work_dir: Path) -> Path:
    """Return the work dir of a row and a seed."""
    return work_dir / f'{NAMES.index(row)}_{seed}'


def run(row: str, seed: int, work_dir: Path) -> dict[str, float]:
    """Train and test one row with one seed; return its metrics in percent. Run the teacher's row first."""
    config, options, has_teacher = ROWS[row]
    options = dict(options)
    earlier = options.pop('checkpoint', None)  # of the phase 2 row, trained before
    cfg = runs.read_config(config, folder(row, seed, work_dir), seed, options)
    if has_teacher:
        cfg.model.teacher_checkpoint = str(folder(NAMES[0], seed, work_dir) / 'iter_450.pth')
        cfg.default_hooks.checkpoint.update(interval=30, max_keep_ckpts=-1)
    if earlier:
        cfg.load_from = str(folder(NAMES[2], seed, work_dir) / earlier)
    runner = Runner.from_cfg(cfg)
    if cfg.train_dataloader is not None and not earlier:
        runner.train()
    return runner.test()


def main() -> None:
    args = runs.arguments('toy_transfer', __doc__).parse_args()
    # The row of phase 1 tests a checkpoint of the full run, so it is last. MaskCLIP needs one seed only.
    order = sorted(ROWS, key=lambda row: 'checkpoint' in ROWS[row][1])
    jobs = [dict(row=row, seed=seed) for row in order for seed in args.seeds
            if row != 'no annotations: MaskCLIP' or seed == args.seeds[0]]
    results = tables.collect(jobs, lambda row, seed: run(row, seed, args.work_dir), args.work_dir / 'results.csv')
    results.sort(key=lambda one: (NAMES.index(one['row']), one['seed']))
    print(tables.write(results, args.docs / 'toy_transfer.md'))
    readme.write(args.docs)


if __name__ == '__main__':
    with app.user_errors():
        main()

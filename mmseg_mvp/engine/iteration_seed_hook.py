"""Randomness that a resumed run shares with an uninterrupted one."""
import random

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

# numpy takes 32 bits; the factor keeps the streams of neighbouring seeds apart.
_SEEDS = 2**32
_SPREAD = 1_000_003


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds Python's, numpy's and torch's random numbers by the iteration that comes next.

    mmengine restores weights, optimizer, schedule and the order of the images when it resumes, but no random state: the
    augmentation would go on with other draws. With this hook and ``num_workers=0`` a resumed run repeats the losses of
    an uninterrupted one. Worker processes have random states of their own, which start anew when they are started: with
    ``num_workers > 0`` images and order agree, crops and flips do not.
    """
    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        """Seed the first batch of this run."""
        _seed(runner, runner.iter)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed what the model draws (dropout): a loader that starts anew has drawn once more than one that goes on."""
        _seed(runner, runner.iter)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Seed the next batch."""
        _seed(runner, runner.iter + 1)

    def after_val(self, runner) -> None:
        """Undo what validation drew."""
        _seed(runner, runner.iter)


def _seed(runner, iteration: int) -> None:
    seed = ((runner.seed + get_rank()) * _SPREAD + iteration) % _SEEDS
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

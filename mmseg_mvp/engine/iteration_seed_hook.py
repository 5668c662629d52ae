"""Randomness that a resumed run shares with an uninterrupted one."""
import random
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch.utils.data import Dataset, get_worker_info

# numpy takes 32 bits; the factor keeps the streams of neighbouring seeds apart.
_SEEDS = 2**32
_SPREAD = 1_000_003


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds Python's, numpy's and torch's random numbers by the place in the run, not by what was drawn before.

    mmengine restores weights, optimizer, schedule and the order of the images when it resumes, but no random state.
    With this hook an image is augmented by draws of its own (:class:`SeededLoading`), and what the model draws
    (dropout) depends on seed, process and iteration. A resumed run then repeats an uninterrupted one bit for bit, and
    augmentations depend neither on the number of workers nor, for the same total batch, on that of processes.

    The order of the images is that of ``InfiniteSampler``, with a seed (``randomness=dict(seed=...)``). mmengine
    before onedl 0.10.12, upstream's too, starts worker processes before any hook can reach them, and resumes by loading
    all earlier batches again: there a run repeats itself as well, but other numbers of workers or processes give other
    augmentations.
    """
    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        """Have the training images loaded by :class:`SeededLoading`, from the iteration on that comes next."""
        dataset = runner.train_dataloader.dataset
        self.loading = dataset.__getitems__ = SeededLoading(dataset, runner.seed, runner.iter)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed what the model draws."""
        _seed(((runner.seed + get_rank()) * _SPREAD + runner.iter) % _SEEDS)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Tell the loading, where it has no workers, which batch is next."""
        self.loading.iteration = runner.iter + 1


class SeededLoading:
    """Loads a batch, each sample with random numbers that depend on the seed and its place in the run alone.

    The place is that in the one stream of samples which mmengine's ``InfiniteSampler`` deals out to the processes.
    Torch calls a data set's ``__getitems__``, if it has one, instead of asking for the samples one by one.

    Args:
        dataset (Dataset): What is loaded from.
        seed (int): Seed of the run.
        iteration (int): Which batch is next. Each worker process goes on counting in its own copy.
    """

    def __init__(self, dataset: Dataset, seed: int, iteration: int) -> None:
        self.dataset, self.seed, self.iteration = dataset, seed, iteration
        self.rank, self.world_size = get_dist_info()
        self.in_worker = False

    def __call__(self, indices: Sequence[int]) -> list:
        """Load the samples of a batch.

        Args:
            indices (Sequence[int]): Their indices in the data set.

        Returns:
            list: The samples.
        """
        first = self._next_iteration() * len(indices)
        return [self._load(index, (first + place) * self.world_size + self.rank)
                for place, index in enumerate(indices)]

    def _next_iteration(self) -> int:
        """The iteration that the batch is for. Workers take turns, so each has every ``num_workers``-th batch."""
        worker = get_worker_info()
        if worker is not None:
            self.iteration += worker.num_workers if self.in_worker else worker.id
            self.in_worker = True
        return self.iteration

    def _load(self, index: int, place: int) -> object:
        _seed(int(np.random.SeedSequence((self.seed, place)).generate_state(1)[0]))
        return self.dataset[index]


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

"""Random numbers that are equal in resumed and uninterrupted runs."""
from collections.abc import Sequence

import torch
from mmengine.dist import get_dist_info, get_rank
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch.utils.data import Dataset, get_worker_info

from mmseg_mvp.utils.random_state import seed_cpu

# numpy accepts 32 bits. The factor separates the sequences of neighbouring seeds.
_SEEDS = 2**32
_SPREAD = 1_000_003


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Hook that seeds the random numbers of Python, numpy and torch by the position in the run.

    When mmengine resumes, it restores weights, optimizer, schedule and image order, but no random state. With this
    hook, augmentations depend on the seed and the position of the sample (:class:`SeededLoading`). Random numbers of
    the model (dropout) depend on seed, process and iteration. A resumed run then repeats an uninterrupted one bit for
    bit. Augmentations are also independent of the number of workers and, for equal total batch size, of processes.

    The order of images comes from ``InfiniteSampler`` with a seed (``randomness=dict(seed=...)``). Upstream mmengine
    and onedl before 0.10.12 start worker processes before any hook, and reload all earlier batches when they resume.
    Runs are still repeatable there, but augmentations depend on the number of workers and processes.
    """
    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        """Load training images by :class:`SeededLoading`, beginning at the current iteration."""
        dataset = runner.train_dataloader.dataset
        self.loading = dataset.__getitems__ = SeededLoading(dataset, runner.seed, runner.iter)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed the random numbers of the model."""
        seed = ((runner.seed + get_rank()) * _SPREAD + runner.iter) % _SEEDS
        seed_cpu(seed)
        torch.manual_seed(seed)  # of all devices

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Set the next iteration for loading without worker processes."""
        self.loading.iteration = runner.iter + 1


class SeededLoading:
    """Loading of a batch with random numbers that depend only on the seed and each sample's position.

    The position is the index in the global stream of ``InfiniteSampler``, which distributes samples to processes. Torch
    calls ``__getitems__`` of a data set, if present, for a whole batch.

    Args:
        dataset (Dataset): Data set to load from.
        seed (int): Seed of the run.
        iteration (int): Index of the next batch. Each worker process updates its own copy.
    """

    def __init__(self, dataset: Dataset, seed: int, iteration: int) -> None:
        self.dataset, self.seed, self.iteration = dataset, seed, iteration
        self.rank, self.world_size = get_dist_info()
        self.in_worker = False

    def __call__(self, indices: Sequence[int]) -> list:
        """Load the samples with the given indices."""
        first = self._next_iteration() * len(indices)
        return [self._load(index, (first + place) * self.world_size + self.rank)
                for place, index in enumerate(indices)]

    def _next_iteration(self) -> int:
        """Return the iteration of the batch. Each worker loads every ``num_workers``-th batch."""
        worker = get_worker_info()
        if worker is not None:
            self.iteration += worker.num_workers if self.in_worker else worker.id
            self.in_worker = True
        return self.iteration

    def _load(self, index: int, place: int) -> object:
        seed_cpu(self.seed, place)
        return self.dataset[index]

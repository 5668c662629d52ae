"""IterationSeedHook: random numbers depend on seed and iteration only."""
import random
from itertools import islice
from types import SimpleNamespace

import mmengine.dataset.sampler
import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, Dataset

from mmseg_mvp.engine import IterationSeedHook, iteration_seed_hook


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


class Draws(Dataset):
    """Items that are their index and what the three generators draw."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index, *draws()


def runner(iteration=0, seed=1, batch_size=4, num_workers=0):
    """What the seed hook knows of a run, whose images come as mmengine deals them out."""
    dataset = Draws()
    loader = DataLoader(dataset, batch_size, sampler=InfiniteSampler(dataset, seed=0), num_workers=num_workers,
                        collate_fn=list)
    return SimpleNamespace(iter=iteration, seed=seed, train_dataloader=loader)


def train(iterations, start=0, **kwargs):
    """The batches of a run from an iteration on, as mmengine's loop asks for them."""
    hook, run = IterationSeedHook(), runner(start, **kwargs)
    hook.before_train(run)
    sampler = run.train_dataloader.sampler
    sampler.indices = islice(sampler.indices, start * run.train_dataloader.batch_size, None)
    batches = []
    for batch in islice(run.train_dataloader, iterations - start):
        batches.append(batch)
        draws()  # what a model or a validation draws
        hook.after_train_iter(run, 0)
        run.iter += 1
    return batches


def test_the_model_draws_by_seed_and_iteration_alone():
    hook = IterationSeedHook()
    hook.before_train_iter(runner(7), 0)
    uninterrupted = draws()
    draws()
    hook.before_train_iter(runner(7), 0)  # in a run that was resumed
    assert draws() == uninterrupted
    for iteration, seed in ((8, 1), (7, 2)):
        hook.before_train_iter(runner(iteration, seed), 0)
        assert all(a != b for a, b in zip(draws(), uninterrupted))


@pytest.mark.parametrize('num_workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_images_are_augmented_alike_after_a_resume_and_by_any_number_of_workers(num_workers):
    whole = train(6)
    assert train(6, num_workers=num_workers) == whole
    assert train(6, start=3, num_workers=num_workers) == whole[3:]
    samples = sum(whole, [])
    assert {index for index, *_ in samples} == set(range(5))
    for draw in list(zip(*samples))[1:]:
        assert len(set(draw)) == 24, 'an image that comes again is augmented anew'
    assert all(other[1:] != one[1:] for one, other in zip(samples, sum(train(6, seed=2), [])))


@pytest.mark.parametrize('world', [2, 4])
def test_processes_augment_as_one_does_with_the_whole_batch(monkeypatch, world):
    whole = train(6)
    monkeypatch.setattr(mmengine.dataset.sampler, 'get_dist_info', lambda: (rank, world))
    monkeypatch.setattr(iteration_seed_hook, 'get_dist_info', lambda: (rank, world))
    for rank in range(world):
        assert train(6, batch_size=4 // world) == [batch[rank::world] for batch in whole]

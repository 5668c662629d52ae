"""A loop ends although its sampler does not."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader, IterableDataset

from mmseg_mvp.engine import LoopEndHook
from mmseg_mvp.errors import UserError


class Loader(list):
    """Three batches."""
    sampler = object()


def make_runner(loop) -> SimpleNamespace:
    loader = Loader([0, 1, 2])
    return SimpleNamespace(train_loop=loop.__new__(loop), train_dataloader=loader, val_dataloader=loader,
                           test_dataloader=loader)


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
def test_the_fourth_of_three_batches_is_refused(mode):
    runner, hook = make_runner(EpochBasedTrainLoop), LoopEndHook()
    step = getattr(hook, f'before_{mode}_iter')
    for batch in range(3):
        step(runner, batch)
    with pytest.raises(UserError, match=f'{mode}_dataloader has 3 batches, but its sampler, object, yields more'):
        step(runner, 3)


def test_iterations_go_on():
    LoopEndHook().before_train_iter(make_runner(IterBasedTrainLoop), 3)


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
def test_a_loop_without_a_batch_is_refused(mode):
    loader = DataLoader([1], batch_size=4, drop_last=True)
    runner = SimpleNamespace(**{f'{mode}_dataloader': loader})
    with pytest.raises(UserError, match=f'{mode}_dataloader has no batch: its data set has 1 images, with batch_size='):
        getattr(LoopEndHook(), f'before_{mode}')(runner)
    for other in (DataLoader([1], batch_size=4), DataLoader(Stream())):
        setattr(runner, f'{mode}_dataloader', other)
        getattr(LoopEndHook(), f'before_{mode}')(runner)


class Stream(IterableDataset):
    """Images without a number."""

    def __iter__(self):
        return iter([])


@pytest.mark.parametrize('iteration, loss, stops', [
    (49, float('nan'), True), (98, float('inf'), False), (119, float('inf'), True), (119, 1., False),
    (49, None, False)])
def test_a_loss_that_is_not_finite_stops_the_training(iteration, loss, stops):
    runner = SimpleNamespace(iter=iteration, max_iters=120)
    outputs = None if loss is None else dict(loss=torch.tensor(loss))
    if stops:
        with pytest.raises(UserError, match=f'stopped at iteration {iteration + 1}, because the loss is {loss}: lower'):
            LoopEndHook().after_train_iter(runner, 0, outputs=outputs)
    else:
        LoopEndHook().after_train_iter(runner, 0, outputs=outputs)

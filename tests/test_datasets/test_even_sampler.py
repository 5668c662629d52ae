"""Even sampling from parts of different sizes: counts, order, processes, and resuming."""
import math
from itertools import islice

import mmengine.dataset.sampler
import pytest
from fixtures.lanes import SAMPLER_SKIP
from fixtures.refusals import refused
from mmengine.dataset import BaseDataset, ConcatDataset
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_mvp.datasets import EvenSampler
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')

SIZES = (2, 7, 3)
STARTS = (0, 2, 9)


@DATASETS.register_module()
class CountedDataset(BaseDataset):
    """Data set of ``size`` items."""

    def __init__(self, size):
        self.size = size
        super().__init__(serialize_data=False)  # which may be empty

    def load_data_list(self):
        return [dict(item=index) for index in range(self.size)]


def parts(sizes=SIZES):
    return ConcatDataset([CountedDataset(size) for size in sizes])


def draw(count, skip=0, seed=0, **kwargs):
    sampler = EvenSampler(parts(), seed=seed, **kwargs)
    if skip:
        sampler.skip(skip)
    return list(islice(sampler, count))


def owner(index):
    """Return the part of an index."""
    return max(part for part, start in enumerate(STARTS) if index >= start)


def test_in_order_it_goes_from_part_to_part():
    assert draw(15, shuffle=False) == [0, 2, 9, 1, 3, 10, 0, 4, 11, 1, 5, 9, 0, 6, 10]


def test_each_round_has_one_image_of_each_part():
    indices = draw(3 * 50)
    rounds = [indices[start:start + 3] for start in range(0, len(indices), 3)]
    orders = {tuple(owner(index) for index in one) for one in rounds}
    assert len(orders) == 6 and all(sorted(order) == [0, 1, 2] for order in orders)


def test_a_part_is_gone_through_before_it_starts_again():
    indices = draw(3 * 42)
    for part, (start, size) in enumerate(zip(STARTS, SIZES)):
        own = [index for index in indices if owner(index) == part]
        passes = [tuple(own[first:first + size]) for first in range(0, len(own), size)]
        assert all(sorted(one) == list(range(start, start + size)) for one in passes)
        assert len(set(passes)) > 1  # each in another order


def test_the_seed_decides():
    assert draw(60) == draw(60, seed=0) != draw(60, seed=1)


@pytest.mark.parametrize('skip', [0, pytest.param(17, marks=SAMPLER_SKIP)])
@pytest.mark.parametrize('world', [2, 3])
def test_processes_share_the_stream(monkeypatch, world, skip):
    whole = draw(60 * world)
    for rank in range(world):
        monkeypatch.setattr(mmengine.dataset.sampler, 'get_dist_info', lambda: (rank, world))
        own = draw(60 - skip, skip)
        assert own == whole[rank + skip * world::world]
        assert {owner(index) for index in own} == {0, 1, 2}


def test_mmengine_builds_it_by_name():
    datasets = [dict(type='CountedDataset', size=size) for size in SIZES]
    loader = Runner.build_dataloader(dict(
        batch_size=3, num_workers=0, sampler=dict(type='EvenSampler', shuffle=False),
        dataset=dict(type='ConcatDataset', datasets=datasets)))
    first, second = islice(loader, 2)
    assert (first['item'], second['item']) == ([0, 0, 0], [1, 1, 1])


@pytest.mark.parametrize('dataset, words', [
    (CountedDataset(3), ['ConcatDataset', 'CountedDataset', 'InfiniteSampler']),
    (parts((4, 0, 2)), ['Part 1', 'CountedDataset', 'no image', 'data_root'])])
def test_invalid_data_sets(dataset, words):
    with pytest.raises(UserError) as error:
        EvenSampler(dataset)
    assert all(word in str(error.value) for word in words) and '\n' not in str(error.value)


NAN = math.nan


class Counted(BaseDataset):
    def load_data_list(self):
        return [{}]


@pytest.mark.parametrize('settings', [
    *[dict(dataset=value) for value in (None, 3, [], Counted(serialize_data=False))],
    *[dict(seed=value) for value in ('a', 1.5, -1, NAN, True, [0])],
    *[dict(shuffle=value) for value in ('no', 3, [])]])
def test_even_samplers_of(settings):
    dataset = ConcatDataset([Counted(serialize_data=False), Counted(serialize_data=False)])
    refused(lambda: EvenSampler(**dict(dict(dataset=dataset), **settings)))

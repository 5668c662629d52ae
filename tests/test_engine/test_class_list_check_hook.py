"""ClassListCheckHook: class lists of data set and model."""
import random
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmseg.datasets.transforms import PackSegInputs
from mmseg.models.segmentors import EncoderDecoder
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmseg_mvp.datasets import PackVocabulary
from mmseg_mvp.engine import ClassListCheckHook, IterationSeedHook, NoSyncModelWrapper
from mmseg_mvp.engine.class_list_check_hook import compare_class_lists
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextHead


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


def test_class_lists():
    compare_class_lists(('a', 'b'), ['a', 'b'], 'decode_head.test_classes')
    # Another wording is the user's right.
    compare_class_lists(('aeroplane', 'b'), ['airplane', 'b'], 'decode_head.test_classes')
    with pytest.raises(UserError, match="decode_head.test_classes has 3 classes, but the data set has 2 .a, b"):
        compare_class_lists(('a', 'b'), ['a', 'b', 'c'], 'decode_head.test_classes')
    with pytest.raises(UserError, match="label 1 is 'b' in the data set and 'c' in decode_head.train_classes"):
        compare_class_lists(('a', 'b', 'c'), ['a', 'c', 'b'], 'decode_head.train_classes')


@pytest.mark.parametrize('wrapped', [False, True])
def test_the_head_is_found_behind_a_wrapper_and_other_heads_pass(wrapped):
    model = Segmentor(nn.Module())
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    wrapper = NoSyncModelWrapper(model) if wrapped else model
    runner = SimpleNamespace(model=wrapper, train_loop=loop, val_loop=loop, test_loop=loop)
    hook = ClassListCheckHook()
    hook.before_test(runner)  # a head without a text classifier
    model.decode_head = Head({'a': (), 'b': ()}, {'b': (), 'a': ()})
    hook.before_train(runner)
    for check in (hook.before_val, hook.before_test):
        with pytest.raises(UserError, match='another order'):
            check(runner)


class Segmentor(EncoderDecoder):
    """A segmentor that has a head only."""

    def __init__(self, head):
        nn.Module.__init__(self)
        self.decode_head = head


class Head(TextHead, nn.Module):
    """A text head that has vocabularies only."""

    def __init__(self, train, test):
        super().__init__()
        self.classifier = SimpleNamespace(train_vocabulary=train, test_vocabulary=test)


def leaf(classes, *transforms):
    return SimpleNamespace(metainfo=dict(classes=classes), pipeline=SimpleNamespace(transforms=transforms))


def test_data_sets_that_bring_their_label_lists_are_compared_with_those():
    model = Segmentor(Head({'a': (), 'b': ()}, {}))
    dataset = SimpleNamespace(datasets=[
        leaf(('a', 'b'), PackSegInputs()),
        leaf(('c', 'd', 'e'), PackVocabulary(classes=['c', 'd', 'e'])),
        SimpleNamespace(dataset=leaf(('others', 'object'), PackVocabulary()))])  # episodes name their labels one by one
    runner = SimpleNamespace(model=model, train_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)))
    ClassListCheckHook().before_train(runner)
    dataset.datasets[1] = leaf(('c', 'd', 'e'), PackVocabulary(classes=['c', 'e', 'd']))
    with pytest.raises(UserError, match='PackVocabulary.classes of SimpleNamespace and the data set.*another order'):
        ClassListCheckHook().before_train(runner)
    dataset.datasets[1] = leaf(('c', 'd', 'e'), PackSegInputs())
    with pytest.raises(UserError, match='decode_head.train_classes has 2 classes, but the data set has 3'):
        ClassListCheckHook().before_train(runner)

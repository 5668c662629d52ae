"""The hooks: what they seed, what they compare."""
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmseg.datasets.transforms import PackSegInputs
from torch import nn

from mmseg_mvp.datasets import PackLabelList
from mmseg_mvp.engine import ClassListCheckHook, IterationSeedHook
from mmseg_mvp.engine.class_list_check_hook import compare_class_lists
from mmseg_mvp.errors import UserError


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_draws_depend_on_seed_and_next_iteration_alone():
    hook = IterationSeedHook()
    hook.after_train_iter(SimpleNamespace(iter=6, seed=1), 0)
    uninterrupted = draws()
    draws()
    hook.before_train(SimpleNamespace(iter=7, seed=1))  # a run that resumes at iteration 7
    assert draws() == uninterrupted
    hook.after_val(SimpleNamespace(iter=7, seed=1))
    assert draws() == uninterrupted
    torch.rand(3)  # a data loader draws when it starts
    hook.before_train_iter(SimpleNamespace(iter=7, seed=1), 0)
    assert draws() == uninterrupted
    for iteration, seed in ((8, 1), (7, 2)):
        hook.before_train(SimpleNamespace(iter=iteration, seed=seed))
        assert all(a != b for a, b in zip(draws(), uninterrupted))


def test_class_lists():
    compare_class_lists(('a', 'b'), ['a', 'b'], 'decode_head.test_classes')
    compare_class_lists(('aeroplane', 'b'), ['airplane', 'b'], 'decode_head.test_classes')  # another wording is the user's right
    with pytest.raises(UserError, match="decode_head.test_classes has 3 classes, but the data set has 2 .a, b"):
        compare_class_lists(('a', 'b'), ['a', 'b', 'c'], 'decode_head.test_classes')
    with pytest.raises(UserError, match="label 1 is 'b' in the data set and 'c' in decode_head.train_classes"):
        compare_class_lists(('a', 'b', 'c'), ['a', 'c', 'b'], 'decode_head.train_classes')


@pytest.mark.parametrize('wrapped', [False, True])
def test_the_head_is_found_behind_a_wrapper_and_other_heads_pass(wrapped):
    class Segmentor(nn.Module):
        pass

    model = Segmentor()
    model.decode_head = nn.Module()
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    holder = nn.Module()
    holder.module = model
    runner = SimpleNamespace(model=holder if wrapped else model, train_loop=loop, val_loop=loop, test_loop=loop)
    hook = ClassListCheckHook()
    hook.before_test(runner)  # a head without a text classifier
    model.decode_head.classifier = SimpleNamespace(vocabularies={True: {'a': (), 'b': ()}, False: {'b': (), 'a': ()}})
    hook.before_train(runner)
    for check in (hook.before_val, hook.before_test):
        with pytest.raises(UserError, match='another order'):
            check(runner)


def leaf(classes, *transforms):
    return SimpleNamespace(metainfo=dict(classes=classes), pipeline=SimpleNamespace(transforms=transforms))


def test_data_sets_that_bring_their_label_lists_are_compared_with_those():
    model = nn.Module()
    model.decode_head = nn.Module()
    model.decode_head.classifier = SimpleNamespace(vocabularies={True: {'a': (), 'b': ()}})
    dataset = SimpleNamespace(datasets=[
        leaf(('a', 'b'), PackSegInputs()),
        leaf(('c', 'd', 'e'), PackLabelList(classes=['c', 'd', 'e'])),
        SimpleNamespace(dataset=leaf(('others', 'object'), PackLabelList()))])  # episodes name their labels one by one
    runner = SimpleNamespace(model=model, train_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)))
    ClassListCheckHook().before_train(runner)
    dataset.datasets[1] = leaf(('c', 'd', 'e'), PackLabelList(classes=['c', 'e', 'd']))
    with pytest.raises(UserError, match='PackLabelList.classes of SimpleNamespace and the data set.*another order'):
        ClassListCheckHook().before_train(runner)
    dataset.datasets[1] = leaf(('c', 'd', 'e'), PackSegInputs())
    with pytest.raises(UserError, match='decode_head.train_classes has 2 classes, but the data set has 3'):
        ClassListCheckHook().before_train(runner)

"""ClassListCheckHook: class lists of data set and model."""
from types import SimpleNamespace

import pytest
from mmseg.datasets.transforms import PackSegInputs
from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from mmseg_mvp.datasets import PackVocabulary
from mmseg_mvp.engine import ClassListCheckHook, NoSyncModelWrapper
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextHead


@pytest.mark.parametrize('wrapped', [False, True])
def test_the_head_is_found_behind_a_wrapper_and_other_heads_pass(wrapped):
    model = Segmentor(nn.Module())
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    wrapper = NoSyncModelWrapper(model) if wrapped else model
    runner = SimpleNamespace(model=wrapper, train_loop=loop, val_loop=None, test_loop=loop)
    hook = ClassListCheckHook()
    hook.before_test(runner)  # a head without a text classifier
    model.decode_head = Head({'a': (), 'b': ()}, {'b': (), 'a': ()})
    hook.before_train(runner)
    runner.val_loop = loop
    for check in (hook.before_train, hook.before_val, hook.before_test):
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
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    runner = SimpleNamespace(model=model, train_loop=loop, val_loop=None)
    ClassListCheckHook().before_train(runner)
    dataset.datasets[1] = leaf(('c', 'd', 'e'), PackVocabulary(classes=['c', 'e', 'd']))
    with pytest.raises(UserError, match='PackVocabulary.classes of SimpleNamespace and the data set.*another order'):
        ClassListCheckHook().before_train(runner)
    dataset.datasets[1] = leaf(('c', 'd', 'e'), PackSegInputs())
    with pytest.raises(UserError, match='decode_head.train_classes has 2 classes, but the data set has 3'):
        ClassListCheckHook().before_train(runner)


@pytest.mark.parametrize('number, right', [(1, True), (2, False), (3, True), (4, False), (None, True)])
@pytest.mark.parametrize('cascade', [False, True])
def test_a_head_without_text_has_one_output_per_class(number, right, cascade):
    head = nn.Module()
    head.num_classes = number
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=leaf(('a', 'b', 'c'))))
    runner = SimpleNamespace(model=Segmentor(nn.ModuleList([nn.Module(), head]) if cascade else head), test_loop=loop)
    if right:
        ClassListCheckHook().before_test(runner)
    else:
        with pytest.raises(UserError, match=f'num_classes is {number}, but the data set has 3 classes'):
            ClassListCheckHook().before_test(runner)


@pytest.mark.parametrize('number, right', [(1, True), (2, False), (3, True), (4, True)])
def test_an_auxiliary_head_has_an_output_for_each_training_class(number, right):
    model = Segmentor(Head({'a': (), 'b': (), 'c': ()}, {'a': (), 'b': (), 'c': ()}))
    model.auxiliary_head = nn.ModuleList([nn.Module(), nn.Module()])
    model.auxiliary_head[1].num_classes = number
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=leaf(('a', 'b', 'c'), None)))
    runner = SimpleNamespace(model=model, train_loop=loop, val_loop=None)
    if right:
        ClassListCheckHook().before_train(runner)
    else:
        with pytest.raises(UserError, match=r'auxiliary_head=dict\(num_classes=3\)'):
            ClassListCheckHook().before_train(runner)

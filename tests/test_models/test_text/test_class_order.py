"""The head compares its classes with the data set of the loop, under any runtime."""
import copy
from collections import OrderedDict

import pytest
import torch
from fixtures.builders import CONFIGS
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextClassifier
from mmseg_mvp.models.text.class_order import compare_class_lists
from mmseg_mvp.vocabularies import class_names

TEMPLATES = dict(type='TemplatePrompts', templates=['a photo of a {}.'])
TRAIN, TEST = ['cat', 'dog'], ['dog', 'sky', 'cat']


@pytest.fixture
def loop(monkeypatch):
    """Publish a running loop and its data set as mmengine does."""
    for manager in (MessageHub, Visualizer, MMLogger):
        monkeypatch.setattr(manager, '_instance_dict', OrderedDict())
    hub = MessageHub.get_instance('test')

    def publish(stage, classes):
        hub.update_info('loop_stage', stage)
        if stage == 'train':
            hub.update_info('dataset_meta', dict(classes=classes))
        else:
            Visualizer.get_instance('test').dataset_meta = dict(classes=classes)

    return publish


@pytest.fixture
def classifier(tiny_rn):
    return TextClassifier(tiny_rn, TEMPLATES, TRAIN, TEST)


def test_class_lists():
    compare_class_lists(('a', 'b'), ['a', 'b'], 'decode_head.test_classes')
    # Another wording is the user's right.
    compare_class_lists(('aeroplane', 'b'), ['airplane', 'b'], 'decode_head.test_classes')
    with pytest.raises(UserError, match="decode_head.test_classes has 3 classes, but the data set has 2 .a, b"):
        compare_class_lists(('a', 'b'), ['a', 'b', 'c'], 'decode_head.test_classes')
    with pytest.raises(UserError, match="label 1 is 'b' in the data set and 'c' in decode_head.train_classes"):
        compare_class_lists(('a', 'b', 'c'), ['a', 'c', 'b'], 'decode_head.train_classes')


@pytest.mark.parametrize('stage, classes, words', [
    ('train', TRAIN, None), ('train', ['dog', 'cat'], 'decode_head.train_classes and the data set.*another order'),
    ('train', ['cat', 'dog', 'sky'], 'decode_head.train_classes has 2 classes, but the data set has 3'),
    ('val', TEST, None), ('val', TEST[::-1], 'decode_head.test_classes and the data set.*another order'),
    ('test', TEST, None), ('test', TRAIN, 'decode_head.test_classes has 3 classes, but the data set has 2'),
    ('test', ['dog', 'heaven', 'cat'], None)])
def test_each_loop_has_its_classes(classifier, loop, stage, classes, words):
    loop(stage, classes)
    classifier.train(stage == 'train')
    if words is None:
        classifier.embeddings()
        return
    for _ in range(2):  # an error does not count as a check
        with pytest.raises(UserError, match=words):
            classifier.embeddings()


def test_the_other_mode_is_not_compared(classifier, loop):
    loop('train', ['x'] * 9)
    classifier.eval().embeddings()  # a frozen teacher, or a picture within training


def test_names_of_a_call_are_not_compared(classifier, loop):
    loop('test', TEST[::-1])
    classifier.eval()
    classifier.test_vocabulary = classifier.read_vocabulary(['cat', 'sky'])  # set_classes
    classifier.embeddings()
    with classifier.using([classifier.read_vocabulary(['boat', 'sky'])]):
        classifier.embeddings()


def test_without_a_loop_nothing_is_compared(classifier, loop):
    classifier.eval().embeddings()
    loop('val', TEST[::-1])
    MessageHub.get_instance('test').pop_info('loop_stage')
    classifier.embeddings()


def test_a_copy_is_compared_as_well(classifier, loop):
    loop('train', TRAIN[::-1])
    with pytest.raises(UserError, match='another order'):
        copy.deepcopy(classifier).train().embeddings()


@pytest.mark.parametrize('stage', ['train', 'val', 'test'])
def test_the_loop_of_an_earlier_run_that_failed_is_ignored(tiny_rn, loop, stage):
    loop(stage, ['x'] * 9)
    classifier = TextClassifier(tiny_rn, TEMPLATES, TRAIN, TEST)
    classifier.train(stage == 'train').embeddings()
    loop(stage, ['y'] * 9)
    with pytest.raises(UserError, match='but the data set has 9'):
        classifier.embeddings()


@pytest.mark.slow
@pytest.mark.usefixtures('loop')
@pytest.mark.parametrize('classes, key, words', [
    (None, '', None), ('train', 'train_classes', 'another order'), ('few', 'train_classes', 'has 14 classes'),
    ('test', 'test_classes', 'another order')])
def test_with_mmsegs_default_runtime_in_a_plain_runner(tmp_path, classes, key, words):
    """mmseg's `_base_/default_runtime.py` has none of our hooks."""
    cfg = Config.fromfile(CONFIGS / 'mvp_seg/toy_zs.py')
    cfg.merge_from_dict({'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 2,
                         'val_dataloader.dataset.num_images': 2, 'work_dir': str(tmp_path)})
    cfg.custom_hooks, cfg.default_hooks, cfg._format_python_code = [], {}, False
    lists = dict(train=class_names('toy:seen')[::-1], few=class_names('toy:seen')[:14], test=class_names('toy')[::-1])
    if classes:
        cfg.model.decode_head[key] = lists[classes]
    torch.manual_seed(0)
    runner = Runner.from_cfg(cfg)
    if words is None:
        runner.train()
    else:
        with pytest.raises(UserError, match=f'decode_head.{key} .*{words}'):
            runner.train()

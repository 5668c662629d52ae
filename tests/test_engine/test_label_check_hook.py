"""LabelCheckHook: runs that cannot learn stop, and classes that no mask holds are named."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fixtures.refusals import refused
from mmengine.dataset import Compose
from mmengine.structures import PixelData
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmseg_mvp.engine import LabelCheckHook
from mmseg_mvp.engine.label_check_hook import FIRST
from mmseg_mvp.labels import HIDDEN, UNKNOWN


class Data:
    """A data set of mask files."""

    def __init__(self, classes=('a', 'b', 'c'), paths=(), transforms=()):
        self.metainfo, self.paths, self.pipeline = dict(classes=classes), paths, Compose(transforms)

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(seg_map_path=str(self.paths[index]))


@pytest.fixture
def start():
    """Begin a training and return its runner, the hook and a function that shows it a batch."""
    def start(data=None, max_iters=100, ignored=255, padding=255):
        model, lines = nn.Module(), []
        model.decode_head, model.data_preprocessor = nn.Module(), SimpleNamespace(seg_pad_val=padding)
        model.decode_head.ignore_index = ignored
        loader = SimpleNamespace(dataset=Data() if data is None else data)
        runner = SimpleNamespace(train_dataloader=loader, model=model, lines=lines, max_iters=max_iters,
                                 logger=SimpleNamespace(warning=lines.append))
        hook = LabelCheckHook()
        hook.before_train(runner)

        def see(*masks, **meta):
            samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.tensor(mask)[None]), metainfo=meta)
                       for mask in masks]
            hook.before_train_iter(runner, 0, dict(inputs=[], data_samples=samples))
        return runner, hook, see
    return start


@pytest.mark.parametrize('ignored', [255, 65535, -1, 0])
def test_nothing_labelled_in_the_first_batches(start, ignored):
    _, _, see = start(ignored=ignored, padding=ignored)
    for _ in range(FIRST - 1):
        see([[ignored] * 3], [[ignored] * 3])
    refused(lambda: see([[ignored] * 3]), f'first {FIRST} batches', f'label {ignored}', 'reduce_zero_label')


def test_a_short_run_is_checked_at_its_end(start):
    _, _, see = start(max_iters=2)
    see([[255]])
    refused(lambda: see([[255]]), 'first 2 batches')


@pytest.mark.parametrize('label', [1, HIDDEN + 1, HIDDEN + UNKNOWN])
def test_one_labelled_or_hidden_pixel_is_enough(start, label):
    _, _, see = start()
    see([[255, label]])
    for _ in range(3 * FIRST):
        see([[255, 255]])


@pytest.mark.parametrize('values, reduced, words', [
    ([0, 255], True, ['hold the values 0, 255 and reduce_zero_label is True', 'store the foreground as 1']),
    ([0], True, ['hold the values 0 and reduce_zero_label is True): check'])])
def test_the_files_explain_it(start, tmp_path, values, reduced, words):
    Image.fromarray(np.array([values * 2], np.uint8)).save(tmp_path / 'mask.png')
    _, _, see = start(max_iters=1)
    meta = dict(seg_map_path=str(tmp_path / 'mask.png'), reduce_zero_label=reduced)
    refused(lambda: see([[255]], **meta), 'mask.png', *words)


def test_masks_of_0_and_255_with_several_classes_are_told(start, tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / 'mask.png')
    runner, _, see = start(max_iters=1)
    see([[0, 255]], seg_map_path=str(tmp_path / 'mask.png'), reduce_zero_label=False)
    line, = runner.lines
    assert "of the class 'a', one of 3" in line and 'values 0, 255)' in line and 'store the foreground as 1' in line


def test_a_single_class_in_drawn_masks_is_told_without_files(start):
    runner, _, see = start(max_iters=1)
    see([[0, 255]], seg_map_path='drawn.png')  # the toy world names files that do not exist
    line, = runner.lines
    assert "of the class 'a', one of 3" in line and 'drawn.png' not in line


def test_two_classes_and_a_class_list_of_one_are_no_finding(start):
    runner, hook, see = start(max_iters=1)
    see([[0, 1, 2]])
    hook.after_train(runner)
    assert not runner.lines
    runner, hook, see = start(Data(['a']), max_iters=1)
    see([[0, 255]])
    hook.after_train(runner)
    assert not runner.lines


def test_classes_that_no_mask_holds_are_named_at_the_end(start):
    runner, hook, see = start(Data(['a', 'b', 'cow', 'dog']))
    for _ in range(2 * FIRST):
        see(np.tile([[0], [1]], (100, 200)))
    hook.after_train(runner)
    assert runner.lines == ['Training saw no labelled pixel of 2 of 4 classes: cow, dog.']


@pytest.mark.parametrize('mask, meta', [([[0, HIDDEN + 2]], {}), ([[0]], dict(vocabulary=dict(others=(), cat=())))])
def test_hidden_classes_and_own_vocabularies_are_not_named(start, mask, meta):
    runner, hook, see = start(max_iters=1)
    see(mask, **meta)
    hook.after_train(runner)
    assert not runner.lines


@pytest.mark.parametrize('label', [3, 254, 65535])
def test_labels_that_the_model_does_not_know(start, label):
    _, _, see = start()
    refused(lambda: see([[0, label]], seg_map_path='m.png'), 'm.png', f'label {label}', 'ignores 255', 'ignore_index')


def test_padding_must_not_be_a_class(start):
    many = Data([str(index) for index in range(300)])
    refused(lambda: start(many, ignored=65535), 'seg_pad_val is 255', '65535')
    start(many, ignored=65535, padding=65535)
    start(ignored=65535)  # 255 is no class of three


def test_batches_without_labels_pass(start):
    runner, hook, _ = start(max_iters=1)
    hook.before_train_iter(runner, 0, None)
    hook.before_train_iter(runner, 0, dict(inputs=[], data_samples=[SegDataSample()]))
    hook.after_train(runner)
    assert not runner.lines


@pytest.mark.parametrize('stage', ['train', 'val', 'test'])
def test_wide_masks_with_mmsegs_loader(start, tmp_path, stage):
    """It would turn 299 into 43."""
    Image.fromarray(np.array([[299]], np.uint16)).save(tmp_path / 'mask.png')
    data = Data(paths=[tmp_path / 'mask.png'], transforms=[LoadAnnotations()])
    runner = SimpleNamespace(**{f'{stage}_dataloader': SimpleNamespace(dataset=SimpleNamespace(datasets=[data]))})
    refused(lambda: getattr(LabelCheckHook(), f'before_{stage}')(runner), 'mask.png', '299', 'LoadCheckedAnnotations')
    Image.fromarray(np.array([[29]], np.uint16)).save(tmp_path / 'mask.png')
    start(Data(paths=[tmp_path / 'mask.png'], transforms=[LoadAnnotations()]))
    start(Data(paths=['nowhere.png'], transforms=[LoadAnnotations()]))


@pytest.mark.parametrize('paths, lost', [
    (['a/0.jpg', 'b/1.jpg', 'a/0.jpg'], False), (['a/0.jpg', 'b/0.jpg'], True), (['0.jpg', '0.png'], True)])
@pytest.mark.parametrize('loop', ['val', 'test'])
def test_an_output_dir_that_would_lose_files(paths, lost, loop):
    class Images(Data):
        def get_data_info(self, index):
            return dict(img_path=paths[index])

    data = SimpleNamespace(dataset=Images(paths=paths))
    metrics = [SimpleNamespace(output_dir=None), SimpleNamespace(output_dir='out')]
    runner = SimpleNamespace(**{f'{loop}_dataloader': data,
                                f'{loop}_loop': SimpleNamespace(evaluator=SimpleNamespace(metrics=metrics))})
    call = getattr(LabelCheckHook(), f'before_{loop}')
    if lost:
        refused(lambda: call(runner), f"output_dir 'out' of the evaluator would have one file for {paths[0]!r} and")
        metrics.pop()
    call(runner)

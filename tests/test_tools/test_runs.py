"""Runs of the tools end in results or in one sentence: nothing is overwritten, skipped or scored in silence."""
import re

import numpy as np
import pytest
import torch
from fixtures.builders import CONFIGS
from fixtures.forked import Job, run_jobs
from PIL import Image

from mmseg_mvp.vocabularies import class_names

pytestmark = pytest.mark.slow

# Images of several sizes, two of them with equal stems, for MVP-SEG on the toy CLIP.
MINE = f"""
_base_ = ['{CONFIGS}/mvp_seg/toy_zs.py']
from mmseg_mvp.vocabularies import class_names

load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
mine = dict(type='BaseSegDataset', data_root='data', data_prefix=dict(img_path='img', seg_map_path='ann'),
            metainfo=dict(classes=class_names('toy')))
train = [*load, dict(type='RandomCrop', crop_size=(64, 64)), dict(type='PackSegInputs')]
model = dict(decode_head=dict(train_classes='toy'))
train_dataloader = dict(batch_size=2, dataset=dict(_delete_=True, pipeline=train, **mine))
val_dataloader = dict(batch_size=1, dataset=dict(_delete_=True, pipeline=[*load, dict(type='PackSegInputs')], **mine))
test_dataloader = val_dataloader
val_evaluator = dict(unseen=None)
test_evaluator = val_evaluator
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=1))
"""
# A closed-set model of mmseg, without our runtime.
CLOSED = """
_base_ = ['mine.py']
norm = dict(type='BN', requires_grad=True)
model = dict(
    _delete_=True, type='EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
    backbone=dict(type='ResNetV1c', depth=18, norm_cfg=norm),
    decode_head=dict(type='PSPHead', in_channels=512, in_index=3, channels=8, num_classes=20, norm_cfg=norm,
                     pool_scales=(1, 2)),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
val_evaluator = dict(_delete_=True, type='IoUMetric')
test_evaluator = val_evaluator
custom_hooks = []
"""
NO_MASKS = {'dataset__data_prefix__seg_map_path': None}


def options(loader: str, settings: dict) -> dict:
    return {f'{loader}_dataloader__{key}': value for key, value in settings.items()}


RUNS = {
    'trained': Job('train', ['mine.py', '--work-dir', 'mine']),
    'written': Job('test', ['mine.py', 'mine/iter_2.pth', '--out', 'out', '--show-dir', 'show']),
    'written by two': Job('test', ['mine.py', 'mine/iter_2.pth', '--out', 'out2', '--show-dir', 'show2'], ranks=2),
    'test without masks': Job('test', ['mine.py', 'mine/iter_2.pth', '--out', 'out3'], options('test', NO_MASKS)),
    'two without masks': Job('test', ['mine.py', 'mine/iter_2.pth'], options('test', NO_MASKS), ranks=2),
    'val without masks': Job('train', ['mine.py', '--work-dir', 'a'], options('val', NO_MASKS)),
    'train without masks': Job('train', ['mine.py', '--work-dir', 'a'], options('train', NO_MASKS)),
    'unequal batch': Job('test', ['mine.py', 'mine/iter_2.pth'], options('test', dict(batch_size=6))),
    'other tta': Job('test', ['mine.py', 'mine/iter_2.pth', '--tta']),
    'resumed': Job('train', ['mine.py', '--work-dir', 'mine', '--resume'], dict(
        train_cfg__max_iters=3, optim_wrapper__optimizer__lr=0.5, param_scheduler__1__T_max=900)),
    'other optimizer': Job('train', ['mine.py', '--work-dir', 'mine', '--resume'],
                           dict(optim_wrapper__optimizer__type='AdamW')),
    'finished': Job('train', ['mine.py', '--work-dir', 'mine', '--resume'], dict(train_cfg__max_iters=3)),
    'reversed': Job('train', ['mine.py', '--work-dir', 'b'], dict(
        model__decode_head__train_classes=f'[{",".join(class_names("toy")[::-1])}]', custom_hooks='[]')),
    'endless': Job('train', ['mine.py', '--work-dir', 'b'], dict(train_cfg__type='EpochBasedTrainLoop')),
    'closed': Job('train', ['closed.py', '--work-dir', 'closed']),
    'closed resumed': Job('train', ['closed.py', '--work-dir', 'closed', '--resume'], dict(train_cfg__max_iters=3)),
    'part': Job('test', ['closed.py', 'part.pth']),
    'other head': Job('test', ['closed.py', 'closed/iter_2.pth'], dict(model__decode_head__num_classes=19)),
    'part to start from': Job('train', ['closed.py', '--work-dir', 'c'], dict(load_from='part.pth')),
    'batch of one': Job('train', ['closed.py', '--work-dir', 'd'], options('train', dict(batch_size=1))),
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    (folder / 'mine.py').write_text(MINE)
    (folder / 'closed.py').write_text(CLOSED)
    rng = np.random.default_rng(0)
    for name, width in (('a/0', 64), ('a/1', 80), ('b/0', 96), ('b/2', 64)):
        for kind, values, ending in (('img', rng.integers(0, 255, (64, width, 3)), 'jpg'),
                                     ('ann', rng.integers(0, 20, (64, width)), 'png')):
            path = folder / 'data' / kind / f'{name}.{ending}'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(path)
    names = list(RUNS)
    middle = names.index('part')
    said = run_jobs([RUNS[name] for name in names[:middle]], folder)
    checkpoint = torch.load(folder / 'closed/iter_2.pth', weights_only=True)
    del checkpoint['state_dict']['decode_head.conv_seg.bias']
    torch.save(checkpoint, folder / 'part.pth')
    (folder / 'status.json').unlink()
    (folder / 'said').write_text(said + run_jobs([RUNS[name] for name in names[middle:]], folder))
    return folder


@pytest.fixture(scope='module')
def said(folder):
    return (folder / 'said').read_text()


def test_status_codes(folder):
    refused = {'train without masks', 'unequal batch', 'other tta', 'other optimizer', 'reversed', 'endless', 'part',
               'other head', 'batch of one'}
    assert {name for name, job in RUNS.items() if job.status == [2]} == refused
    assert all(set(job.status) == {0} for name, job in RUNS.items() if name not in refused)


def test_each_refusal_is_one_sentence(said):
    assert 'Traceback' not in said
    found = re.findall('^error: (.*)$', said, re.MULTILINE)
    expected = ['no masks to train on', 'test batch have different sizes', 'tta_pipeline is of another data set',
                'holds the state of SGD, but .* is AdamW', 'in another order', 'EpochBasedTrainLoop, which needs',
                '1 is missing, decode_head.conv_seg.bias', r'2 are of another shape, first decode_head.conv_seg.weight',
                'BatchNorm needs more than one value']
    assert len(found) == len(expected) and all(map(re.search, expected, found)), found


@pytest.mark.parametrize('place', ['out', 'show', 'out2', 'show2', 'out3'])
def test_each_image_has_its_file(folder, place):
    files = [path.relative_to(folder / place).as_posix() for path in (folder / place).rglob('*.png')]
    assert sorted(files) == ['a/0.png', 'a/1.png', 'b/0.png', 'b/2.png']
    if place.startswith('out'):
        assert [Image.open(folder / place / name).size[0] for name in sorted(files)] == [64, 80, 96, 64]


def test_nothing_to_score_is_said(said):
    assert len(re.findall('WARNING - None of the 4 images has a mask: there is nothing to score', said)) == 3


def test_differences_of_a_resumed_run_are_said(said):
    for sentence, count in (
            ('optim_wrapper.optimizer.lr is 0.02 in the checkpoint and 0.5 in the config: the value of the check', 1),
            ('param_scheduler[1].T_max is 430 in the checkpoint and 900 in the config: the value of the checkpoint', 1),
            ('train_cfg.max_iters is 2 in the checkpoint and 3 in the config: the value of the config holds.', 2)):
        assert said.count(sentence) == count
    assert len(re.findall('^Nothing is left to train: .*iter_3.pth is at iter 3 of 3', said, re.MULTILINE)) == 1


def test_a_resumed_run_keeps_the_optimizer_of_the_checkpoint(folder):
    first, last = (torch.load(folder / 'mine' / f'iter_{step}.pth', weights_only=True) for step in (2, 3))
    groups = [checkpoint['optimizer']['param_groups'][0] for checkpoint in (first, last)]
    assert groups[0]['initial_lr'] == groups[1]['initial_lr'] == 0.02


def test_hooks_that_a_config_drops_are_added(said):
    assert 'custom_hooks of the config lacks IterationSeedHook, ClassListCheckHook' in said


def test_fine_tuning_from_a_part_is_said(said):
    assert 'WARNING - checkpoint part.pth fits in part: of the model' in said

"""Settings of MMSegmentation 0.x get one sentence with the spelling of 1.x."""
from pathlib import Path

import pytest
from fixtures.refusals import refused
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_mvp.utils.former_config import check_former_keys

ROOT = Path(__file__).parents[2]
DATA = dict(type='BaseSegDataset', data_root='data')
STEPS = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]


def check(**cfg):
    check_former_keys(Config(cfg))


def loader(**dataset):
    return dict(dataset=dict(DATA, **dataset))


@pytest.mark.parametrize('cfg, words', [
    (dict(data=dict(samples_per_gpu=4, workers_per_gpu=2)),
     ['data.samples_per_gpu as train_dataloader.batch_size', 'data.workers_per_gpu as train_dataloader.num_workers']),
    (dict(data=dict(train=dict(type='CustomDataset', img_dir='a', ann_dir='b', split='c', classes=['d']))),
     ['data.train as train_dataloader.dataset', 'CustomDataset as BaseSegDataset', 'img_path', 'seg_map_path',
      'split as ann_file', 'classes as metainfo']),
    (dict(train_dataloader=loader(img_dir='a')), ['img_dir as data_prefix=dict(img_path=...)']),
    (dict(test_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[dict(DATA, ann_dir='a')]))),
     ['ann_dir as data_prefix=dict(seg_map_path=...)']),
    (dict(val_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(DATA, split='a.txt')))),
     ['split as ann_file']),
    (dict(train_dataloader=loader(pipeline=[dict(type='DefaultFormatBundle')])), ['DefaultFormatBundle as PackSeg']),
    (dict(train_pipeline=[dict(type='Collect', keys=['img'])]), ['Collect as PackSegInputs']),
    (dict(test_pipeline=[dict(type='MultiScaleFlipAug', transforms=[dict(type='ImageToTensor', keys=['img'])])]),
     ['MultiScaleFlipAug as TestTimeAug', 'ImageToTensor as PackSegInputs']),
    (dict(total_iters=9), ['total_iters as train_cfg.max_iters']),
    (dict(evaluation=dict(interval=9)), ['evaluation as train_cfg.val_interval and val_evaluator']),
    (dict(runner=dict(type='IterBasedRunner', max_iters=9)), ['runner as train_cfg']),
    (dict(lr_config=dict(policy='poly')), ['lr_config as param_scheduler']),
    (dict(optimizer=dict(type='SGD')), ['optimizer as optim_wrapper']),
    (dict(fp16=dict(loss_scale=512.), workflow=[('train', 1)]),
     ['fp16 as optim_wrapper.type', 'workflow as train_cfg']),
])
def test_former_settings(cfg, words):
    refused(lambda: check(**cfg), 'MMSegmentation 0.x', *words)


def test_settings_of_today_pass():
    check(train_dataloader=loader(pipeline=STEPS, data_prefix=dict(img_path='a'), ann_file='b'),
          optimizer=dict(type='SGD'), optim_wrapper=dict(type='OptimWrapper'), data=dict(root='a'),
          val_dataloader=dict(dataset=dict(type='ToySceneDataset', split='val')))


def test_shipped_configs_pass():
    paths = [*(ROOT / 'configs').rglob('*.py')]
    assert len(paths) > 40
    for path in paths:
        check_former_keys(Config.fromfile(path))


def test_settings_of_a_data_set_of_the_user_pass():
    with DATASETS.switch_scope_and_registry('mmseg') as registry:
        @registry.register_module(name='CustomDataset')
        class Own(BaseSegDataset):
            def __init__(self, img_dir, split, **kwargs):
                super().__init__(**kwargs)
    try:
        check(train_dataloader=dict(dataset=dict(type='CustomDataset', img_dir='a', split='b')))
    finally:
        del registry.module_dict['CustomDataset']

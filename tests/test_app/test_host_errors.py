"""Exceptions of the host that a config causes, as the host raises them."""
from types import SimpleNamespace

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.config import Config
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, PARAM_SCHEDULERS
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmengine.visualization import TensorboardVisBackend, WandbVisBackend
from mmseg.datasets import BaseSegDataset
from mmseg.models import FCNHead, SegDataPreProcessor
from mmseg.models.necks import FPN
from mmseg.structures import SegDataSample
from torch import nn
from torch._utils import ExceptionWrapper

from mmseg_mvp.app.host_errors import host_sentence

SIZES = [(3, 48, 64), (3, 64, 64)]


def batch(*sizes) -> dict:
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, *size[1:], dtype=torch.long))) for size in sizes]
    return dict(inputs=[torch.zeros(size) for size in sizes], data_samples=samples)


def fail_in_worker() -> None:
    """Raise as torch does in the main process if mmseg's LoadAnnotations raises in a worker process."""
    try:
        {}['seg_map_path']
    except KeyError:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    wrapper.reraise()


def load_optimizer(first: list, second: list) -> None:
    weights = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    state = torch.optim.SGD([dict(params=weights[:count]) for count in first], lr=1.).state_dict()
    torch.optim.SGD([dict(params=[weight]) for weight in weights[:len(second)]], lr=1.).load_state_dict(state)


def best(name: str, folder) -> None:
    hook = CheckpointHook(by_epoch=False, save_best=name)
    hook._save_best_checkpoint(SimpleNamespace(iter=1, epoch=0), dict(mIoU=1.))


def without(package, monkeypatch, backend, folder):
    monkeypatch.setitem(__import__('sys').modules, package, None)
    backend(str(folder)).add_config(Config())


CASES = {
    'test batch': (lambda **_: SegDataPreProcessor()(batch(*SIZES), False), 'a test batch have different sizes'),
    'training without a crop': (lambda **_: SegDataPreProcessor(size=(32, 32))(batch(*SIZES), True),
                                r'sizes, \[3, 48, 64\] and \[3, 64, 64\]: end the training pipeline with'),
    'no size': (lambda **_: SegDataPreProcessor()(batch(*SIZES), True), 'neither or both of size and size_divisor'),
    'batch of one': (lambda **_: nn.BatchNorm2d(4)(torch.zeros(1, 4, 1, 1)),
                     r'a batch has one, torch.Size\(\[1, 4, 1, 1\]\): set train_dataloader.batch_size to 2'),
    'groups': (lambda **_: load_optimizer([1], [1, 1]), 'the optimizer in the checkpoint has other parameter groups'),
    'sizes of groups': (lambda **_: load_optimizer([2], [1]), 'the optimizer in the checkpoint has other parameter'),
    'half a validation': (lambda **_: Runner(nn.Module(), 'x', val_cfg=dict()), 'of val_dataloader, val_cfg and'),
    'half a training': (lambda **_: Runner(nn.Module(), 'x', train_cfg=dict()), 'of train_dataloader, train_cfg and'),
    'no mask': (lambda **_: SegDataSample().gt_sem_seg, 'the training images have no masks'),
    'no mask in a worker': (lambda **_: fail_in_worker(), 'the training images have no masks'),
    'tensorboard': (lambda **places: without('torch.utils.tensorboard', backend=TensorboardVisBackend, **places),
                    'lacks its package .Please run .pip install future tensorboard'),
    'wandb': (lambda **places: without('wandb', backend=WandbVisBackend, **places), 'pip install wandb'),
    'interval': (lambda **_: HOOKS.build(dict(type='LoggerHook', interval=0)), 'ValueError: interval must be'),
    'assert': (lambda **_: HOOKS.build(dict(type='EMAHook', begin_iter=1, begin_epoch=1)), 'AssertionError: .*begin'),
    'unknown argument': (lambda **_: HOOKS.build(dict(type='LoggerHook', intervall=1)), 'intervall'),
    'file backend': (lambda **_: get_file_backend('file:///a.txt'), 'a file backend of the config is unknown'),
    'missing argument': (lambda **_: DATASETS.build(dict(type='RepeatDataset', dataset={})),
                         "RepeatDataset lacks 'times'"),
    'no data set': (lambda **_: DATASETS.build(dict(type='ConcatDataset', datasets=[])), 'IndexError'),
    'torch refuses': (lambda **_: build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type='SGD', lr=-1))),
                      'Invalid learning rate: -1'),
    'class balance': (lambda **_: DATASETS.build(dict(
        type='ClassBalancedDataset', oversample_thr=1., lazy_init=False, dataset=dict(
            type=BaseSegDataset, metainfo=dict(classes=['a']), ann_file=__file__))), 'get_cat_ids'),
    'best metric': (lambda **places: best('mIOU', places['folder']), "no metric 'mIOU', which save_best"),
    'best rule': (lambda **places: best('x', places['folder']), 'save_best of the checkpoint hook is x,'),
    'unknown setting': (lambda **_: build_optim_wrapper(nn.Linear(1, 1), dict(optimizer=dict(type='AdamW', lrr=1))),
                        "AdamW has no setting 'lrr': write 'lr'"),
    'unknown wrapper': (lambda **_: build_optim_wrapper(nn.Linear(1, 1), dict(
        type='OptimWraper', optimizer=dict(type='AdamW'))), "'OptimWraper' is not in the registry .*'OptimWrapper'"),
    'unknown schedule': (lambda **_: PARAM_SCHEDULERS.build(dict(type='PolyLRR')), "write 'PolyLR'"),
    'unknown norm': (lambda **_: ConvModule(1, 1, 1, norm_cfg=dict(type='SyncBNN')), 'a norm_cfg, act_cfg, .* not reg'),
    'no type': (lambda **_: HOOKS.build(dict(interval=1)), r"a part has no type, \{'interval': 1\}: write type"),
    'channels': (lambda **_: nn.Conv2d(4, 8, 3)(torch.zeros(1, 3, 9, 9)), 'is built for feature maps of 4 .* gets 3'),
    'few outputs': (lambda **_: nn.functional.cross_entropy(torch.zeros(1, 3), torch.tensor([7])), 'the label 7'),
    'in_index': (lambda **_: FCNHead(in_channels=4, channels=4, num_classes=2, in_index=3)([torch.zeros(1, 4, 3, 3)]),
                 'in_index of a head names'),
    'neck': (lambda **_: FPN([4, 4], 4, 2)([torch.zeros(1, 4, 3, 3)]), 'one feature map for each entry'),
    'unknown hook': (lambda **_: HOOKS.build(dict(type='NobodyHook')), 'NobodyHook'),
}


@pytest.mark.parametrize('name', CASES)
def test_one_sentence(name, monkeypatch, tmp_path):
    cause, words = CASES[name]
    with pytest.raises(Exception) as caught:
        cause(monkeypatch=monkeypatch, folder=tmp_path)
    sentence = host_sentence(caught.value)
    assert sentence and '\n' not in sentence
    with pytest.raises(RuntimeError, match=words):
        raise RuntimeError(sentence)


@pytest.mark.parametrize('error', [ValueError('a defect'), ImportError('a defect'), AssertionError(),
                                   KeyError('gt_sem_seg_of_mine')])
def test_others_are_defects(error):
    with pytest.raises(type(error)) as caught:
        raise error
    assert host_sentence(caught.value) is None and host_sentence(error) is None

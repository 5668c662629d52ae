"""Configs on a machine without CUDA: BN in place of SyncBN, gloo between processes."""
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils import without_cuda

TOY = Path(__file__).parents[2] / 'configs/mvp_seg/toy_zs.py'


@pytest.fixture
def no_cuda(monkeypatch):
    """A machine without CUDA, and without the variables that torchrun sets."""
    monkeypatch.setattr(without_cuda, 'get_device', lambda: 'cpu')
    for name in (*without_cuda.RENDEZVOUS, *without_cuda.SLURM.values(), 'SLURM_NODELIST'):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bn():
    """A config with SyncBN in all the places where mmseg has it, and inside the model of a teacher."""
    norm = dict(type='SyncBN', requires_grad=True)
    teacher = dict(type='EncoderDecoder', decode_head=dict(norm_cfg=norm))
    return Config(dict(norm_cfg=norm, model=dict(
        backbone=dict(type='ResNet', norm_cfg=norm), decode_head=dict(norm_cfg=norm, num_classes=3), teacher=teacher,
        auxiliary_head=[dict(norm_cfg=norm), dict(norm_cfg=dict(type='LN')), dict(norm_cfg=dict(type='MMSyncBN'))])))


def test_sync_bn_becomes_bn_wherever_it_is(no_cuda, bn):
    note, = without_cuda.adapt(bn)
    assert 'SyncBN' in note and 'BN takes its place' in note
    norm = dict(type='BN', requires_grad=True)
    assert bn.model == dict(
        backbone=dict(type='ResNet', norm_cfg=norm), decode_head=dict(norm_cfg=norm, num_classes=3),
        teacher=dict(type='EncoderDecoder', decode_head=dict(norm_cfg=norm)),
        auxiliary_head=[dict(norm_cfg=norm), dict(norm_cfg=dict(type='LN')), dict(norm_cfg=dict(type='BN'))])


def test_bn_is_not_converted_back(no_cuda):
    cfg = Config(dict(model=dict(norm_cfg=dict(type='BN')), sync_bn='torch'))
    assert len(without_cuda.adapt(cfg)) == 1 and cfg.sync_bn is None


def test_config_without_sync_bn_is_left_alone(no_cuda):
    cfg = Config.fromfile(TOY)
    assert without_cuda.adapt(cfg) == [] and cfg.to_dict() == Config.fromfile(TOY).to_dict()


def test_config_is_left_alone_where_there_is_cuda(monkeypatch, bn):
    monkeypatch.setattr(without_cuda, 'get_device', lambda: 'cuda')
    bn.launcher = 'pytorch'
    before = bn.to_dict()
    assert without_cuda.adapt(bn) == [] and bn.to_dict() == before


def test_launcher_without_torchrun_is_the_users_mistake(no_cuda, monkeypatch):
    monkeypatch.setenv('MASTER_PORT', '29500')
    with pytest.raises(UserError, match='needs RANK, WORLD_SIZE, MASTER_ADDR in the environment, which torchrun sets'):
        without_cuda.adapt(Config(dict(model=dict(), launcher='pytorch')))


def test_launcher_without_srun_is_the_users_mistake(no_cuda, monkeypatch):
    monkeypatch.setenv('SLURM_NTASKS', '2')
    with pytest.raises(UserError, match='needs SLURM_PROCID, SLURM_NODELIST in the environment, which srun sets'):
        without_cuda.adapt(Config(dict(model=dict(), launcher='slurm')))


def test_processes_join_by_gloo_within_the_configs_time(no_cuda, monkeypatch):
    calls = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', lambda *args, **kwargs: calls.append((args, kwargs)))
    for name in without_cuda.RENDEZVOUS:
        monkeypatch.setenv(name, '1')
    without_cuda.connect(Config(dict(env_cfg=dict(dist_cfg=dict(backend='nccl', timeout=90)))))
    without_cuda.connect(Config(dict()))
    assert calls == [(('gloo',), dict(timeout=timedelta(seconds=90))), (('gloo',), {})]


@pytest.mark.parametrize('given, expected', [
    ({}, dict(type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=False,
              device_ids=None)),
    (dict(find_unused_parameters=True), dict(type='MMDistributedDataParallel', broadcast_buffers=False,
                                             find_unused_parameters=True, device_ids=None)),
    (dict(model_wrapper_cfg=dict(static_graph=True)), dict(type='MMDistributedDataParallel', static_graph=True,
                                                           device_ids=None)),
    (dict(model_wrapper_cfg=dict(type='OtherWrapper')), dict(type='OtherWrapper')),
])
def test_wrapper_names_no_gpu(given, expected):
    assert without_cuda.wrapper_on_cpu(Config(given)) == expected

"""Adaptation of a config to a machine without CUDA: gloo between processes, BN in place of SyncBN."""
import os
import subprocess
from datetime import timedelta
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from torch import distributed

from mmseg_mvp.errors import UserError

SYNC_BN = ('SyncBN', 'MMSyncBN')
RENDEZVOUS = ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT')
SLURM = dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS')


def adapt(cfg: Config) -> list[str]:
    """Adapt a config to a machine without CUDA, in place, and connect the processes of torchrun or Slurm.

    With CUDA or another accelerator, nothing changes, and mmengine connects the processes. Returns the changes as
    sentences for the log.

    Raises:
        UserError: If the processes were not started by the launcher of the config.
    """
    if get_device() != 'cpu':
        return []
    notes = []
    if replace_sync_bn(cfg):
        notes.append('SyncBN needs CUDA, which this machine lacks: BN takes its place, with separate statistics '
                     'per process.')
    if cfg.get('launcher') in ('pytorch', 'slurm'):
        if cfg.launcher == 'slurm':
            translate_slurm()
        connect(cfg)
        notes.append(f'This machine has no CUDA: {distributed.get_world_size()} processes compute on the CPU and '
                     'communicate by gloo.')
    return notes


def replace_sync_bn(cfg: Config) -> bool:
    """Replace SyncBN by BN in a config's model, and unset `sync_bn`, in place. Return True if anything changed."""
    replaced = _replace(cfg.get('model'))
    if cfg.get('sync_bn'):
        cfg.sync_bn, replaced = None, True
    return replaced


def _replace(part: Any) -> bool:
    """Replace SyncBN by BN in a part of a config and its nested parts, in place. Return True if anything changed."""
    if isinstance(part, (list, tuple)):
        return any([_replace(child) for child in part])  # a list, because any() would stop at the first match
    if not isinstance(part, dict):
        return False
    found = part.get('type') in SYNC_BN
    if found:
        part['type'] = 'BN'
    return any([_replace(child) for child in part.values()]) or found


def translate_slurm() -> None:
    """Set the environment variables of torchrun from Slurm's variables, as mmengine does with GPUs.

    Raises:
        UserError: If the processes were not started by srun.
    """
    if missing := [name for name in (*SLURM.values(), 'SLURM_NODELIST') if name not in os.environ]:
        raise UserError(f'--launcher slurm needs {", ".join(missing)} in the environment, which srun sets; start with '
                        'tools/slurm_train.sh or tools/slurm_test.sh')
    os.environ.update({name: os.environ[own] for name, own in SLURM.items()})
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        hosts = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
        os.environ['MASTER_ADDR'] = subprocess.run(hosts, capture_output=True, text=True, check=True).stdout.split()[0]


def connect(cfg: Config) -> None:
    """Connect the processes of torchrun by gloo, before mmengine uses NCCL, and select DDP for the CPU.

    Raises:
        UserError: If the processes were not started by torchrun.
    """
    if missing := [name for name in RENDEZVOUS if name not in os.environ]:
        raise UserError(f'--launcher pytorch needs {", ".join(missing)} in the environment, which torchrun sets; start '
                        'with tools/dist_train.sh or tools/dist_test.sh')
    cfg.model_wrapper_cfg = wrapper_on_cpu(cfg)
    if not distributed.is_initialized():
        seconds = cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout')
        distributed.init_process_group('gloo', **(dict(timeout=timedelta(seconds=seconds)) if seconds else {}))


def wrapper_on_cpu(cfg: Config) -> dict:
    """Return the config's `model_wrapper_cfg` for a model on the CPU; the default is DDP with mmengine's settings."""
    wrapper = dict(cfg.get('model_wrapper_cfg') or dict(
        broadcast_buffers=False, find_unused_parameters=cfg.get('find_unused_parameters', False)))
    wrapper.setdefault('type', 'MMDistributedDataParallel')
    if str(wrapper['type']).endswith('DistributedDataParallel'):
        wrapper['device_ids'] = None  # by default, mmengine names a GPU, which DDP rejects for CPU modules
    return wrapper

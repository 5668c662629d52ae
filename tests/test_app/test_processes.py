"""Processes of torchrun: results are gathered, and all processes end together."""
import weakref

import torch

from mmseg_mvp import app


def test_gather_alone_is_oneself(monkeypatch):
    monkeypatch.delenv('TORCHELASTIC_RUN_ID', raising=False)
    assert app.gather({'a': 1}) == [{'a': 1}]


def test_processes_leave_together_and_keep_no_threads_of_gloo(monkeypatch, tmp_path):
    """The threads end with the process group, which DDP holds on to, here in a cycle as a Runner's."""
    waited = []
    monkeypatch.setattr(torch.distributed, 'barrier', lambda: waited.append(torch.distributed.is_initialized()))
    app.disconnect()
    assert waited == [], 'one process alone has nobody to wait for'
    torch.distributed.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    model.itself, kept = [model], weakref.ref(model)
    del model
    app.disconnect()
    assert waited == [True] and kept() is None and not torch.distributed.is_initialized()

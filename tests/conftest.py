"""What all tests share: tiny CLIPs with random weights, in open_clip's own config format."""
import gc
import os
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope, init_default_scope

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))  # test helpers live in tests/fixtures

# Workers share the cores; a thread that waits for one that was preempted only gets in the way. Tools that are started
# inherit the variable.
torch.set_num_threads(1)
os.environ.setdefault('OMP_NUM_THREADS', '1')


def pytest_collection_finish() -> None:
    """Exempt imported modules from garbage collection, because mmengine collects at each data set (0.3 s each)."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let the interpreter free the modules at its end."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def no_scope(monkeypatch) -> None:
    """Every test starts as a user does, without a default scope of mmengine's registries."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


@pytest.fixture
def mmseg_scope(no_scope) -> None:
    """The default scope of the shipped configs, as mmseg's tools and ``init_model`` set it."""
    init_default_scope('mmseg')


@pytest.fixture(scope='session')
def tiny_rn() -> dict:
    """The ``clip`` config of a ResNet CLIP with random weights."""
    return dict(model=str(TESTS / 'data' / 'tiny_rn.json'))


@pytest.fixture(scope='session')
def tiny_vit() -> dict:
    """The ``clip`` config of a ViT CLIP with random weights."""
    return dict(model=str(TESTS / 'data' / 'tiny_vit.json'))


@pytest.fixture(params=['tiny_rn', 'tiny_vit'])
def tiny_clip(request) -> dict:
    """The ``clip`` config of either."""
    return request.getfixturevalue(request.param)

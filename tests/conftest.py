"""What all tests share: tiny CLIPs with random weights, in open_clip's own config format."""
import os
import sys
from pathlib import Path

import pytest
import torch
from mmseg.utils import register_all_modules

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))  # test helpers live in tests/fixtures

# Workers share the cores; a thread that waits for one that was preempted only gets in the way. Tools that are started
# inherit the variable.
torch.set_num_threads(1)
os.environ.setdefault('OMP_NUM_THREADS', '1')


@pytest.fixture(autouse=True, scope='session')
def mmseg_scope() -> None:
    """What a Runner does first: components are looked up in mmseg."""
    register_all_modules(init_default_scope=True)


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

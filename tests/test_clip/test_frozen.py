"""Frozen modules: excluded from training and checkpoints, moved with their parent, shared by copies."""
import copy

import torch

from mmseg_mvp.clip import Frozen
from mmseg_mvp.clip.frozen import unwrap


def test_frozen_hides_its_module_and_moves_a_copy():
    linear = torch.nn.Linear(2, 2)
    outer = torch.nn.Sequential(Frozen(linear), torch.nn.Linear(2, 1))
    outer.train().double()
    assert [name for name, _ in outer.named_parameters()] == ['1.weight', '1.bias'] == list(outer.state_dict())
    assert not outer[0].module.training and not outer[0].module.weight.requires_grad
    assert outer[0].module.weight.dtype is torch.float64 and linear.weight.dtype is torch.float32
    x = torch.randn(1, 2, dtype=torch.float64, requires_grad=True)
    outer(x).sum().backward()
    assert x.grad is not None and outer[0].module.weight.grad is None


def test_a_deep_copy_of_a_model_shares_what_is_frozen():
    frozen = Frozen(torch.nn.Linear(2, 2))
    model = torch.nn.ModuleDict(dict(a=frozen, b=frozen, learned=torch.nn.Linear(2, 2)))
    twin = copy.deepcopy(model)  # as an EMA does
    assert twin['a'] is twin['b'] and twin['a'] is not frozen and twin['a'].module is frozen.module
    twin.double()
    assert twin['a'].module.weight.dtype is torch.float64 and frozen.module.weight.dtype is torch.float32


def test_unwrap_returns_the_held_module_or_the_module_itself():
    linear = torch.nn.Linear(2, 2)
    assert unwrap(Frozen(linear)) is linear and unwrap(linear) is linear

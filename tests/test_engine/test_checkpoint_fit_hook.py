"""The checkpoint that a run loads is checked, nothing else is."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmseg_mvp.engine import CheckpointFitHook, NoSyncModelWrapper
from mmseg_mvp.errors import UserError


@pytest.fixture
def runner():
    MMLogger.get_instance('fit')
    return SimpleNamespace(model=NoSyncModelWrapper(nn.Conv2d(1, 1, 1)), _load_from='a.pth')


def test_a_test_refuses_a_part(runner):
    hook = CheckpointFitHook(whole=True)
    hook.after_load_checkpoint(runner, {})
    with pytest.raises(UserError, match='checkpoint a.pth fits in part: .*1 is missing, bias'):
        runner.model.module.load_state_dict(dict(weight=torch.zeros(1, 1, 1, 1)), strict=False)


@pytest.mark.parametrize('end', ['before_train', 'before_test'])
def test_a_start_takes_a_part_and_other_loads_are_free(runner, end):
    hook, part = CheckpointFitHook(whole=False), dict(weight=torch.ones(1, 1, 1, 1))
    runner.model.module.load_state_dict({}, strict=False)  # initial weights, such as those of an init_cfg
    hook.after_load_checkpoint(runner, {})
    runner.model.module.load_state_dict(part, strict=False)
    with pytest.raises(UserError, match='2 are missing'):
        runner.model.module.load_state_dict({}, strict=False)
    getattr(hook, end)(runner)
    runner.model.module.load_state_dict({}, strict=False)
    assert runner.model.module.weight.item() == 1


@pytest.mark.parametrize('classes, words', [
    (['a', 'b'], None), (['c', 'd'], None), (['b', 'a'], "its 'b' has the label of 'a' in the data set")])
@pytest.mark.parametrize('name', ['train', 'test'])
def test_outputs_have_the_order_of_the_checkpoint(runner, classes, words, name):
    dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))
    setattr(runner, f'{name}_loop', SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)))
    hook = CheckpointFitHook(whole=True)
    hook.after_load_checkpoint(runner, dict(meta=dict(dataset_meta=dict(classes=classes))))
    if words is None:
        getattr(hook, f'before_{name}')(runner)
    else:
        with pytest.raises(UserError, match=words):
            getattr(hook, f'before_{name}')(runner)

"""Configs and checkpoints of earlier versions keep working."""
import pytest
import torch
from mmseg.registry import HOOKS, MODEL_WRAPPERS, MODELS, TRANSFORMS

import mmseg_mvp  # noqa: F401

FORMER = {'log_scale': 'log_tau_1', 'gpr.log_temperature': 'gpr.log_tau'}


def head(clip, **gpr):
    return MODELS.build(dict(type='MultiPromptTextHead', clip=clip, train_classes=['cat', 'dog'],
                             gpr=dict(type='GPR', **gpr)))


def test_gpr_takes_tau(mmseg_scope):
    assert torch.isclose(MODELS.build(dict(type='GPR', tau=0.3)).temperature, torch.tensor(0.3))


@pytest.mark.parametrize('prefix', ['', 'decode_head.'])
def test_parameters_of_former_checkpoints_are_loaded(tiny_rn, mmseg_scope, prefix):
    source, target = head(tiny_rn, temperature=0.3), head(tiny_rn)
    former = {prefix + FORMER.get(name, name): value for name, value in source.state_dict().items()}
    assert f'{prefix}log_tau_1' in former and f'{prefix}gpr.log_tau' in former
    module = target if not prefix else torch.nn.ModuleDict(dict(decode_head=target))
    missing, unexpected = module.load_state_dict(former, strict=False)
    assert not missing and not unexpected
    assert torch.equal(target.gpr.log_temperature, source.gpr.log_temperature)
    assert torch.equal(target.log_scale, source.log_scale)


@pytest.mark.parametrize('registry, former, name', [
    (TRANSFORMS, 'PackLabelList', 'PackVocabulary'), (HOOKS, 'WholeCheckpointHook', 'AtomicCheckpointHook'),
    (MODEL_WRAPPERS, 'SoloModelWrapper', 'NoSyncModelWrapper')])
def test_former_names_build_the_same_component(registry, former, name):
    assert registry.get(former) is registry.get(name)

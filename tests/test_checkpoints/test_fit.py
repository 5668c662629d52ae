"""A checkpoint fits a model completely, or this is said."""
import copy

import pytest
import torch
from fixtures.logs import record_logs
from mmengine.logging import MMLogger
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

from mmseg_mvp.checkpoints import checked_fit
from mmseg_mvp.engine import NoSyncModelWrapper
from mmseg_mvp.errors import UserError


class Model(nn.Module):
    """Three parts of a segmentor: 10 tensors without BatchNorm's counter and the auxiliary head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.decode_head = nn.Sequential(nn.Conv2d(4, 5, 1), nn.Conv2d(5, 2, 1))
        self.auxiliary_head = nn.Conv2d(4, 2, 1)

    def test_step(self, data):
        raise NotImplementedError


class TTA(BaseTTAModel):

    def merge_preds(self, data_samples_list):
        raise NotImplementedError


def load(model, state: dict, **settings) -> None:
    with checked_fit(model, 'a.pth', **settings):
        inner = model.module if is_model_wrapper(model) else model  # as the Runner loads
        _load_checkpoint_to_model(inner, dict(state_dict=state))


@pytest.fixture
def state():
    return Model().state_dict()


@pytest.fixture
def warnings(monkeypatch):
    MMLogger.get_instance('fit')
    return record_logs(monkeypatch, 'mmseg_mvp.checkpoints.fit')


def test_a_whole_checkpoint_loads_in_silence(state, warnings):
    model = Model()
    load(model, state)
    load(model, {f'module.{name}': value for name, value in state.items()})
    assert warnings == [] and all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_entries_that_no_prediction_uses_may_be_missing(state, warnings):
    load(Model(), {name: value for name, value in state.items()
                   if 'num_batches_tracked' not in name and not name.startswith('auxiliary_head')})
    load(Model(), dict(state, **{'auxiliary_head.weight': torch.zeros(7, 4, 1, 1)}))
    assert warnings == []


@pytest.mark.parametrize('wrap', [lambda model: model, NoSyncModelWrapper, TTA,
                                  lambda model: NoSyncModelWrapper(TTA(model))])
def test_a_part_is_refused_by_name(state, wrap):
    del state['decode_head.1.bias']
    state['decode_head.1.weight'] = torch.zeros(19, 5, 1, 1)
    with pytest.raises(UserError) as caught:
        load(wrap(Model()), state)
    assert str(caught.value) == (
        "checkpoint a.pth fits in part: of the model's 10 tensors, 1 is of another shape, decode_head.1.weight "
        '((19, 5, 1, 1) in the checkpoint, (2, 5, 1, 1) in the model) and 1 is missing, decode_head.1.bias; give the '
        'checkpoint of this config, or the config of the checkpoint')


def test_buffers_count():
    state = Model().state_dict()
    del state['backbone.1.running_mean'], state['backbone.1.running_var']
    with pytest.raises(UserError, match='2 are missing, first backbone.1.running_mean'):
        load(Model(), state)


def test_entries_of_other_parts_are_named(state, warnings):
    load(Model(), dict(state, **{'gpr.scale': torch.zeros(1), 'gpr.shift': torch.zeros(1)}))
    assert warnings == ["checkpoint a.pth fits the model; of the checkpoint's tensors, 2 are unknown to the model, "
                        'first gpr.scale']


def test_fine_tuning_takes_a_part_with_a_warning(state, warnings):
    del state['decode_head.1.bias']
    load(Model(), dict(state, more=torch.zeros(1)), whole=False)
    assert warnings == ["checkpoint a.pth fits in part: of the model's 10 tensors, 1 is missing, decode_head.1.bias; "
                        "of the checkpoint's, 1 is unknown to the model, more; these keep their initial values"]


def test_fine_tuning_takes_no_checkpoint_without_a_fitting_tensor():
    with pytest.raises(UserError, match="of the model's 10 tensors, 10 are missing.*1 is unknown to the model, other"):
        load(Model(), dict(other=torch.zeros(1)), whole=False)


def test_copies_and_later_loads_are_not_checked(state):
    model = Model()
    with checked_fit(model, 'a.pth'):
        outer = nn.ModuleDict(dict(inner=copy.deepcopy(model)))
        outer.load_state_dict({}, strict=False)
    model.load_state_dict({}, strict=False)


@pytest.mark.parametrize('whole', [True, False])
def test_weights_that_are_not_finite_are_refused(state, whole):
    state['decode_head.1.bias'] = torch.tensor([0., float('nan')])
    with pytest.raises(UserError, match='a.pth has values that are not finite, in decode_head.1.bias: .*diverged'):
        load(Model(), state, whole=whole)
    state['backbone.0.bias'] = torch.full((4,), float('inf'))
    with pytest.raises(UserError, match='first in backbone.0.bias'):
        load(Model(), state, whole=whole)

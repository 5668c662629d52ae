"""Losses and modules: wrong settings when they are built, wrong tensors when they are called."""
import math

import numpy as np
import pytest
import torch
from fixtures.lanes import UINT16
from fixtures.refusals import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from mmseg.registry import MODELS

NAN, INF = math.nan, math.inf
FEW = settings(derandomize=True, database=None, max_examples=25, deadline=None)
MAPS = torch.ones(2, 3, 4, 4)
LABELS = torch.zeros(2, 8, 8, dtype=torch.int64)
BUILDS = [
    ('GPR', 'temperature', [0, -1, NAN, INF, 'a', None, 1e-320, 1e300, True]), ('GPR', 'gamma', ['a', None, NAN, INF]),
    ('OCLoss', 'loss_weight', ['a', None, NAN, INF, -1, True]), ('OCLoss', 'loss_name', [3, None, 'orthogonal']),
    ('PresenceLoss', 'loss_weight', ['a', None, NAN, INF, -1]), ('PresenceLoss', 'loss_name', [3, 'presence']),
    ('PresenceLoss', 'form', ['x', None, [], 3]), ('RefinedSegLoss', 'loss_weight', ['a', None, NAN, INF, -1]),
    ('RefinedSegLoss', 'loss_name', [3, 'seg']),
    ('RefinedSegLoss', 'class_weight', ['nowhere.json', 'weights.pkl', 3, [], {}, ['a'], [NAN], [-1.], [None]]),
    ('SpatialRegularization', 'block', ['x', None, [], 3]), ('SpatialRegularization', 'activation', ['x', None, []]),
    ('SpatialRegularization', 'depth', [-1, 1.5, NAN, '2', None, True]),
]
CALLS = [
    *[(kind, [value]) for kind in ('GPR', 'SpatialRegularization') for value in (
        None, 3, np.ones((2, 3, 4, 4)), MAPS[0], MAPS[..., None], MAPS[:, :0], MAPS[:, :, :0], MAPS.long(), MAPS.bool(),
        MAPS.to(torch.complex64), MAPS.to('meta'))],
    *[('OCLoss', [value]) for value in (None, MAPS, MAPS[0, 0], MAPS[0, :0], MAPS[0, :, :0], MAPS[0].long())],
    *[('PresenceLoss', pair) for pair in (
        [None, None], [MAPS[:, :, 0, 0], None], [MAPS[:, :, 0, 0], np.ones((2, 3))],
        [MAPS[:, :, 0, 0], torch.ones(3)], [MAPS[:, :, 0, 0], torch.ones(2, 4)], [MAPS[0, :, 0, 0], torch.ones(3)],
        [torch.ones(2, 0), torch.ones(2, 0)])],
    *[('RefinedSegLoss', pair) for pair in (
        [None, None], [MAPS, None], [MAPS, LABELS.numpy()], [MAPS, LABELS.float()], [MAPS, LABELS[:1]],
        [MAPS, LABELS[:, None]], [MAPS, LABELS[:, :0]], [MAPS[:, :0], LABELS + 255], [MAPS[:, :, :0], LABELS],
        [MAPS.long(), LABELS], [MAPS.to(torch.complex64), LABELS], [MAPS, LABELS + 3], [MAPS, LABELS - 1],
        [MAPS, LABELS, MAPS], [MAPS, LABELS, None, 255, torch.zeros(2, 4)],
        [MAPS, LABELS, None, 255, torch.zeros(3)])],
]


@pytest.mark.parametrize('kind, key, value', [(kind, key, value) for kind, key, values in BUILDS for value in values])
def test_built_with(kind, key, value):
    refused(lambda: MODELS.build({'type': kind, key: value}), repr(value).strip("[]'"))


@pytest.mark.parametrize('kind, arguments', CALLS)
def test_called_with(kind, arguments):
    module = MODELS.build(dict(type=kind))
    refused(lambda: module(*arguments))


def test_called_with_a_histogram_of_other_classes():
    refused(lambda: MODELS.build(dict(type='RefinedSegLoss'))(MAPS, LABELS, histogram=torch.ones(2, 4)), 'histogram')


@pytest.mark.parametrize('dtype', ['uint8', 'int16', pytest.param('uint16', marks=UINT16), 'int32', 'bool'])
def test_labels_of_any_integer_type_are_labels(dtype):
    """uint8 would be a mask where it indexes: log 3 is the loss of three equal logits, whatever the label."""
    loss = MODELS.build(dict(type='RefinedSegLoss'))(MAPS, LABELS.to(getattr(torch, dtype)))
    torch.testing.assert_close(loss, torch.tensor(math.log(3)))


def test_what_is_not_in_the_labels_may_have_presence_0():
    log_presence = torch.tensor([[-.5, -INF, -INF]] * 2)
    loss = MODELS.build(dict(type='RefinedSegLoss'))(MAPS, LABELS, log_presence=log_presence)
    torch.testing.assert_close(loss, torch.tensor(math.log(3) + .5))


@pytest.mark.parametrize('form', ['bce', 'printed'])
def test_no_image_has_no_presence_loss(form):
    logits = torch.ones(0, 3, requires_grad=True)
    loss = MODELS.build(dict(type='PresenceLoss', form=form))(logits, torch.ones(0, 3))
    loss.backward()
    assert loss == 0 and logits.grad.shape == (0, 3)


def test_no_image_has_no_refined_loss():
    assert MODELS.build(dict(type='RefinedSegLoss'))(MAPS[:0], LABELS[:0]) == 0


@FEW
@given(st.lists(st.integers(0, 3), max_size=5), st.sampled_from([torch.float32, torch.float64, torch.int64]))
def test_tensors_of_any_shape(shape, dtype):
    value = torch.ones(shape, dtype=dtype)
    for kind in ('GPR', 'SpatialRegularization'):
        module = MODELS.build(dict(type=kind)).to(torch.float64 if dtype == torch.float64 else torch.float32)
        if len(shape) == 4 and all(shape[1:]) and dtype.is_floating_point:
            assert module(value).isfinite().all()
        else:
            refused(lambda: module(value), kind)

"""Spatial regularization against loops over labels and pixels, and what it must not know."""
import copy

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import SpatialRegularization

ACTIVATIONS = {
    'relu': lambda x: max(x, 0.),
    'lrelu': lambda x: x if x > 0 else 0.01 * x,
    'tanh': lambda x: (torch.tensor(x).double().exp() - torch.tensor(-x).double().exp()).item() / (
        torch.tensor(x).double().exp() + torch.tensor(-x).double().exp()).item(),
}


def build(**kwargs):
    torch.manual_seed(0)
    return SpatialRegularization(**kwargs).double()


def naive_block(scores, weight, bias, block):
    """act() aside: each label's map through the same 3x3 window, and for the bottleneck the highest label on top."""
    labels, height, width = len(scores), len(scores[0]), len(scores[0][0])
    out = [[[bias for _ in range(width)] for _ in range(height)] for _ in range(labels)]
    for n in range(labels):
        for y in range(height):
            for x in range(width):
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        if 0 <= y + dy < height and 0 <= x + dx < width:
                            out[n][y][x] += weight[dy + 1][dx + 1] * scores[n][y + dy][x + dx]
                if block == 'bottleneck':
                    out[n][y][x] += max(scores[m][y][x] for m in range(labels))
    return out


def naive(scores, module, block, activation, depth):
    weight, bias = module.conv.weight[0, 0].tolist(), module.conv.bias.item()
    for application in range(depth):
        scores = naive_block(scores, weight, bias, block)
        if application < depth - 1:
            act = ACTIVATIONS[activation]
            scores = [[[act(value) for value in row] for row in one] for one in scores]
    return torch.tensor(scores).double()


@pytest.mark.parametrize('block', ['depthwise', 'bottleneck'])
@pytest.mark.parametrize('activation, depth', [('relu', 1), ('relu', 3), ('lrelu', 2), ('tanh', 2)])
def test_values_are_those_of_loops(block, activation, depth):
    module = build(block=block, activation=activation, depth=depth)
    scores = 2 * torch.randn(2, 4, 3, 5).double()
    expected = torch.stack([naive(one.tolist(), module, block, activation, depth) for one in scores])
    assert torch.allclose(module(scores), expected, atol=1e-12)


@pytest.mark.parametrize('block', ['depthwise', 'bottleneck'])
@pytest.mark.parametrize('activation', ACTIVATIONS)
def test_gradients_are_finite_differences(block, activation):
    module = build(block=block, activation=activation, depth=3)
    scores = torch.randn(1, 3, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, weight, bias: torch.func.functional_call(
        module, {'conv.weight': weight, 'conv.bias': bias}, (x, )), (scores, module.conv.weight, module.conv.bias))


@pytest.mark.parametrize('block', ['depthwise', 'bottleneck'])
def test_labels_may_come_in_any_order_and_number(block):
    module, scores = build(block=block, depth=3), torch.randn(2, 7, 5, 6).double()
    order = torch.randperm(7)
    assert torch.allclose(module(scores[:, order]), module(scores)[:, order], atol=1e-12)
    assert module(scores[:, :2]).shape == (2, 2, 5, 6)
    assert sum(parameter.numel() for parameter in module.parameters()) == 10


def test_at_depth_1_the_bottleneck_decides_as_the_depthwise_block():
    bottleneck, scores = build(block='bottleneck', depth=1), torch.randn(2, 6, 9, 8).double()
    depthwise = SpatialRegularization('depthwise', depth=1).double()
    depthwise.load_state_dict(bottleneck.state_dict())
    assert not torch.allclose(bottleneck(scores), depthwise(scores))
    assert torch.equal(bottleneck(scores).argmax(1), depthwise(scores).argmax(1))
    assert torch.allclose(bottleneck(scores).softmax(1), depthwise(scores).softmax(1))


def test_depth_0_is_no_block():
    module, scores = build(depth=0), torch.randn(1, 3, 4, 4).double()
    assert torch.equal(module(scores), scores) and not list(module.parameters())


def test_from_a_config_and_copied():
    module = MODELS.build(dict(type='SpatialRegularization', block='depthwise', activation='tanh', depth=4))
    scores = torch.randn(1, 3, 4, 4)
    assert torch.equal(copy.deepcopy(module)(scores), module(scores))


@pytest.mark.parametrize('kwargs, words', [
    (dict(block='conv'), ['block', "'conv'", 'depthwise, bottleneck']),
    (dict(activation='gelu'), ['activation', "'gelu'", 'relu, lrelu, tanh']),
    (dict(depth=-1), ['depth', '-1', 'of at least 0']),
    (dict(depth=1.5), ['depth', '1.5']),
])
def test_wrong_settings_are_named(kwargs, words):
    with pytest.raises(UserError) as error:
        SpatialRegularization(**kwargs)
    assert all(word in str(error.value) for word in words)

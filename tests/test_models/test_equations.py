"""The equations of MVP-SEG (arXiv 2304.06957), each against a naive spelling-out: values and gradients, float64."""
import math

import pytest
import torch
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import GPR, OCLoss, PresenceLoss, RefinedSegLoss
from mmseg_mvp.models.losses.oc_loss import pair_cosines
from mmseg_mvp.models.losses.refined_seg_loss import label_histogram


def check_same(ours, naive, *inputs):
    """Same value and same gradients with respect to all inputs."""
    value, expected = ours(*inputs), naive(*inputs)
    assert torch.allclose(value, expected, rtol=1e-10, atol=1e-12)
    for ours_grad, naive_grad in zip(torch.autograd.grad(value.sum(), inputs),
                                     torch.autograd.grad(expected.sum(), inputs)):
        assert torch.allclose(ours_grad, naive_grad, rtol=1e-8, atol=1e-12)


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def naive_g(class_map, gamma, tau):
    """Eq. 3, class by class: sigmoid(<m, softmax(gamma m)> / tau)."""
    rows = []
    for image in class_map:
        row = []
        for one in image:
            m = one.reshape(-1)
            weight = (gamma * m).exp() / (gamma * m).exp().sum()
            row.append(1 / (1 + (-(m * weight).sum() / tau).exp()))
        rows.append(torch.stack(row))
    return torch.stack(rows)


@pytest.mark.parametrize('k', [1, 2, 3, 5])
def test_oc_loss(k):
    def naive(contexts):
        total = contexts.sum() * 0
        for i in range(k):
            for j in range(i + 1, k):
                a, b = contexts[i].mean(0), contexts[j].mean(0)
                total = total + (a @ b).abs() / (a.norm() * b.norm())
        return total

    check_same(OCLoss(), naive, randn(k, 4, 6))
    check_same(OCLoss(loss_weight=0.5), lambda x: 0.5 * naive(x), randn(k, 4, 6))


def test_oc_loss_is_zero_for_orthogonal_and_one_for_parallel_prompts():
    orthogonal = torch.eye(3)[:, None].expand(3, 5, 3)
    assert OCLoss()(orthogonal) == 0
    assert torch.allclose(OCLoss()(torch.tensor([[[1., 2.]], [[-2., -4.]]])), torch.tensor(1.))
    assert torch.allclose(pair_cosines(torch.tensor([[[1., 0.]], [[-2., 0.]]])), torch.tensor([-1.]))


@pytest.mark.parametrize('gamma, tau', [(10., 0.1), (1., 1.), (0., 0.5)])
def test_gpr(gamma, tau):
    gpr = GPR(gamma=gamma, temperature=tau).double()
    class_map = randn(2, 3, 4, 5)
    check_same(lambda m: gpr(m), lambda m: naive_g(m, gamma, math.exp(float(gpr.log_temperature))).log(), class_map)


def test_gpr_learns_its_temperature():
    gpr = GPR(gamma=3., temperature=0.2).double()
    class_map = randn(1, 2, 3, 3)
    gpr(class_map).sum().backward()
    plus, minus = (naive_g(class_map, 3., 0.2 * math.exp(d)).log().sum() for d in (1e-6, -1e-6))
    assert torch.allclose(gpr.log_temperature.grad, (plus - minus) / 2e-6, rtol=1e-6)
    assert math.isclose(gpr.temperature, 0.2, rel_tol=1e-6)
    assert not GPR(learnable=False).log_temperature.requires_grad


def naive_refined_loss(logits, label, g):
    """Eq. 5 as printed, m = softmax(logits) * g at every pixel, averaged over labelled pixels."""
    logits = F.interpolate(logits, size=label.shape[1:], mode='bilinear', align_corners=False)
    m = logits.softmax(dim=1) * (1 if g is None else g[:, :, None, None])
    total, count = logits.sum() * 0, 0
    for b, y, x in (label != 255).nonzero().tolist():
        total = total - m[b, label[b, y, x], y, x].log()
        count += 1
    return total / max(count, 1)


@pytest.fixture
def label():
    label = torch.randint(0, 3, (2, 6, 8))
    label[0, :2] = 255
    label[1, :, 3] = 255
    return label


def test_refined_seg_loss(label):
    check_same(lambda logits, raw: RefinedSegLoss()(logits, label, log_presence=F.logsigmoid(raw)),
          lambda logits, raw: naive_refined_loss(logits, label, raw.sigmoid()), randn(2, 3, 3, 4), randn(2, 3))


def test_refined_seg_loss_without_presence_is_cross_entropy(label):
    check_same(lambda logits: RefinedSegLoss(loss_weight=2.)(logits, label),
          lambda logits: 2 * naive_refined_loss(logits, label, None), randn(2, 3, 3, 4))


def test_refined_seg_loss_of_an_unlabelled_batch_is_zero_not_nan():
    logits = randn(1, 3, 2, 2)
    loss = RefinedSegLoss()(logits, torch.full((1, 4, 4), 255), log_presence=F.logsigmoid(randn(1, 3)))
    assert loss == 0 and torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_label_histogram(label):
    expected = torch.tensor([[(one == c).sum() for c in range(3)] for one in label])
    assert torch.equal(label_histogram(label, 3), expected)


def test_presence_loss():
    present = torch.tensor([[1., 0., 1.], [0., 0., 1.]], dtype=torch.float64)

    def bce(logits):
        g = logits.sigmoid()
        return -(present * g.log() + (1 - present) * (1 - g).log()).sum() / 6

    def printed(logits):
        return -(present * logits.sigmoid().log()).sum() / 2

    check_same(lambda x: PresenceLoss()(x, present), bce, randn(2, 3))
    check_same(lambda x: PresenceLoss('printed', loss_weight=3.)(x, present), lambda x: 3 * printed(x), randn(2, 3))
    # Why the printed form is not the default: g = 1 everywhere is its minimum.
    certain = torch.full((2, 3), 50.)
    assert PresenceLoss('printed')(certain, present) < 1e-9 < 1 < PresenceLoss()(certain, present)
    with pytest.raises(UserError, match='focal'):
        PresenceLoss('focal')

"""GPR against its equation, class by class."""
import math

import pytest
import torch
from fixtures.equations import check_same, randn

from mmseg_mvp.models import GPR


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

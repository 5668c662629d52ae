"""OCLoss against its equation, term by term."""
import pytest
import torch
from fixtures.equations import check_same, randn

from mmseg_mvp.models import OCLoss
from mmseg_mvp.models.losses.oc_loss import pair_cosines


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

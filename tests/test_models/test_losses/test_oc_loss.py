"""OCLoss against its equation, term by term."""
import pytest
import torch
from fixtures.equations import check_same, randn

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import OCLoss
from mmseg_mvp.models.losses.oc_loss import pair_cosines


@pytest.mark.parametrize('k', [1, 2, 3, 5])
@pytest.mark.parametrize('squared', [False, True])
def test_oc_loss(k, squared):
    def naive(contexts):
        total = contexts.sum() * 0
        for i in range(k):
            for j in range(i + 1, k):
                a, b = contexts[i].mean(0), contexts[j].mean(0)
                total = total + ((a @ b).abs() / (a.norm() * b.norm())) ** (1 + squared)
        return total

    check_same(OCLoss(squared=squared), naive, randn(k, 4, 6))
    check_same(OCLoss(loss_weight=0.5, squared=squared), lambda x: 0.5 * naive(x), randn(k, 4, 6))


def test_oc_loss_is_zero_for_orthogonal_and_one_for_parallel_prompts():
    orthogonal = torch.eye(3)[:, None].expand(3, 5, 3)
    assert OCLoss()(orthogonal) == 0
    assert torch.allclose(OCLoss()(torch.tensor([[[1., 2.]], [[-2., -4.]]])), torch.tensor(1.))
    assert torch.allclose(pair_cosines(torch.tensor([[[1., 0.]], [[-2., 0.]]])), torch.tensor([-1.]))


def test_the_gradient_of_squared_cosines_fades():
    """Both steps lengthen the mean vectors. That of absolute cosines does not fade."""
    def gradient(angle, squared):
        contexts = torch.tensor([[[1., 0.]], [[torch.tensor(angle).cos(), torch.tensor(angle).sin()]]]).requires_grad_()
        OCLoss(squared=squared)(contexts).backward()
        assert (contexts * contexts.grad).sum().abs() < 1e-6, 'orthogonal to the vectors'
        return contexts.grad.norm()

    assert torch.allclose(gradient(1.56, False), gradient(1.3, False), rtol=0.05)
    assert gradient(1.56, True) < 0.05 * gradient(1.3, True)


def test_a_head_that_gives_labels_is_told_its_place():
    with pytest.raises(UserError, match=r"write .*RefinedSegLoss.* loss_oc=dict"):
        OCLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), weight=None, ignore_index=255)

"""PresenceLoss against its equations."""
import pytest
import torch
from fixtures.equations import check_same, randn

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import PresenceLoss


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


def test_a_head_that_gives_labels_is_told_its_place():
    with pytest.raises(UserError, match=r"write .*RefinedSegLoss.* loss_presence=dict"):
        PresenceLoss()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4), weight=None, ignore_index=255)

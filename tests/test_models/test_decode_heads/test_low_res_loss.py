"""The mixin on a stock head of mmseg: same losses, accuracy and gradients as the head without it."""
from unittest import mock

import pytest
import torch
from fixtures.lanes import WEIGHTED_CROSS_ENTROPY
from mmengine.structures import PixelData
from mmseg.models.decode_heads import FCNHead
from mmseg.structures import SegDataSample

from mmseg_mvp.models import LowResLossMixin
from mmseg_mvp.models.decode_heads import low_res_loss


class LowResFCNHead(LowResLossMixin, FCNHead):
    """What a user would write."""


def build(cls, loss, align_corners=False, **kwargs):
    torch.manual_seed(0)
    return cls(in_channels=6, channels=8, num_convs=1, num_classes=5, dropout_ratio=0, align_corners=align_corners,
               norm_cfg=dict(type='BN'), loss_decode=loss, **kwargs).train()


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('several', [False, True])
@pytest.mark.parametrize('settings', [
    dict(avg_non_ignore=True), pytest.param(dict(class_weight=[1., 2., 1., 0.5, 1.]), marks=WEIGHTED_CROSS_ENTROPY)])
def test_losses_and_gradients_are_those_of_the_stock_head(settings, align_corners, several):
    ce = dict(type='CrossEntropyLoss', loss_name='loss_seg', **settings)
    ours = dict(ce, type='RefinedSegLoss')
    stock = build(FCNHead, [ce, dict(ce, loss_weight=0.4)] if several else ce, align_corners)
    head = build(LowResFCNHead, [ours, dict(ours, loss_weight=0.4)] if several else ours, align_corners)
    label = torch.randint(0, 5, (2, 1, 22, 31))
    label[0, :, :9] = 255
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in label]
    features = (torch.randn(2, 6, 6, 7), )
    expected, losses = (one.loss(features, samples, {}) for one in (stock, head))
    assert set(losses) == set(expected) == {'loss_seg', 'acc_seg'}
    assert all(torch.allclose(losses[name], expected[name], rtol=1e-5) for name in losses)
    for one, result in ((stock, expected), (head, losses)):
        result['loss_seg'].backward()
    for mine, theirs in zip(head.parameters(), stock.parameters()):
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('settings, name', [
    (dict(loss=dict(type='DiceLoss')), 'DiceLoss'),
    (dict(loss=dict(type='CrossEntropyLoss'), sampler=dict(type='OHEMPixelSampler')), 'OHEMPixelSampler')])
def test_what_needs_the_full_size_gets_it_as_in_the_stock_head(settings, name):
    with mock.patch.object(low_res_loss, 'print_log') as log:
        heads = [build(cls, **settings) for cls in (FCNHead, LowResFCNHead)]
    assert name in log.call_args.args[0] and log.call_count == 1
    features = (torch.randn(2, 6, 6, 7), )
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in torch.randint(0, 5, (2, 1, 22, 31))]
    expected, losses = (head.loss(features, samples, {}) for head in heads)
    assert losses == expected

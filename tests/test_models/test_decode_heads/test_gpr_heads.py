"""GPR in heads of mmseg, against the paper's equations written out."""
import pytest
import torch
from fixtures.text_models import HEADS, batch, build_segmentor
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import GPRDeepLabV3PlusHead, GPRHeadMixin


def head_config(**kwargs):
    return dict(type='GPRFCNHead', num_classes=4, in_channels=64, in_index=3, channels=8, num_convs=1,
                norm_cfg=dict(type='BN'), dropout_ratio=0, **kwargs)


def build(**kwargs):
    torch.manual_seed(0)
    head = MODELS.build(head_config(**kwargs)).train()
    head.conv_seg.weight.data.normal_()
    return head


def presence(logits, gamma=1., tau=1.):
    """The argument of the sigmoid, class by class and image by image."""
    maps = logits.flatten(2)
    return torch.stack([torch.stack([(one * torch.exp(gamma * one) / torch.exp(gamma * one).sum()).sum() / tau
                                     for one in image]) for image in maps])


@pytest.mark.parametrize('gamma, tau', [(1., 1.), (2., 0.5)])
def test_logits_are_refined_by_their_own_soft_maximum(gamma, tau):
    head = build(gpr=dict(type='GPR', gamma=gamma, temperature=tau))
    features = (None, None, None, torch.randn(2, 64, 5, 6))
    plain = FCNHead.forward(head, features)
    g = torch.sigmoid(presence(plain, gamma, tau))
    found = head(features)
    assert torch.allclose(found, plain + g.log()[:, :, None, None], atol=1e-5) and (g < 0.9).any()
    refined = torch.softmax(plain, dim=1) * g[:, :, None, None]  # the paper's refined mask
    assert torch.equal(found.argmax(dim=1), refined.argmax(dim=1))


def test_losses_are_cross_entropy_of_the_refined_logits_and_that_of_presence():
    head = build(loss_presence=dict(type='PresenceLoss', loss_weight=0.5))
    features, samples = (None, None, None, torch.randn(2, 64, 6, 7)), batch(classes=3, size=(22, 31))['data_samples']
    samples[0].gt_sem_seg.data[samples[0].gt_sem_seg.data == 2] = 255  # a class that is in one image alone
    losses = head.loss(features, samples, {})
    plain, label = FCNHead.forward(head, features), torch.cat([one.gt_sem_seg.data for one in samples])
    g = torch.sigmoid(presence(plain))
    full = F.interpolate(plain + g.log()[:, :, None, None], (22, 31), mode='bilinear')
    expected = -full.log_softmax(dim=1).gather(1, label.clamp(max=3)[:, None])[:, 0]
    assert losses['loss_ce'].item() == pytest.approx(expected[label != 255].sum().item() / label.numel(), rel=1e-4)
    present = torch.tensor([[1., 1., 0., 0.], [1., 1., 1., 0.]])
    cross = -(present * g.log() + (1 - present) * (1 - g).log()).mean()
    assert losses['loss_presence'].item() == pytest.approx(0.5 * cross.item(), rel=1e-4)
    assert losses['temperature'] == 1 and not losses['temperature'].requires_grad and 'acc_seg' in losses


def test_presence_is_learned_in_a_segmentor():
    config = dict(HEADS['TextDeepLabV3PlusHead'], type='GPRDeepLabV3PlusHead', num_classes=4, norm_cfg=dict(type='BN'))
    model = build_segmentor(config, 'EncoderDecoder').train()
    assert isinstance(model.decode_head, GPRDeepLabV3PlusHead)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = batch(classes=3)  # class 3 is in no image
    images = torch.stack(data['inputs'])
    for _ in range(8):
        losses = model.loss(images, data['data_samples'])
        optimizer.zero_grad()
        (losses['decode.loss_ce'] + losses['decode.loss_presence']).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
    head = model.decode_head
    with torch.no_grad():
        g = head.gpr(super(GPRHeadMixin, head).forward(model.extract_feat(images))).exp()
    assert (g[:, 3] < g[:, :3].min(dim=1).values).all()


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(UserError, match='The labels hold 4, but there are 4 classes'):
        build().loss((None, None, None, torch.randn(2, 64, 4, 4)), batch(classes=5)['data_samples'], {})

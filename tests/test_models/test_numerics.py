"""Half precision against float32, and values at their bounds: no NaN, no infinite gradient."""
import random

import pytest
import torch
from fixtures.text_models import ALL, HEADS, SEEN, batch, head_config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401
from mmseg_mvp.models.losses import OCLoss, PresenceLoss, RefinedSegLoss
from mmseg_mvp.models.modules import GPR

HALVES = dict(bfloat16=torch.bfloat16, float16=torch.float16)
CHANNELS = (8, 16, 32, 64)
# Largest errors of a tiny head: of the loss in its own size, of logits in the size of the largest, and the smallest
# cosine between the gradients of all parameters. docs/reliability.md names them. The most is LSeg's: rounding decides
# there which of two like scores is the highest.
TOLERANCES = dict(bfloat16=(0.005, 0.03, 0.95), float16=(0.0005, 0.005, 0.975))


def mvp_head(clip, k=3, names=SEEN):
    return MODELS.build(dict(
        type='MultiPromptTextHead', clip=clip, train_classes=names, gpr=dict(type='GPR'),
        prompts=dict(type='LearnedPrompts', num_prompts=k, context_length=4, std=1.),
        loss_presence=dict(type='PresenceLoss'), loss_oc=dict(type='OCLoss')))


def lseg_head(clip):
    return MODELS.build(dict(type='LSegHead', clip=clip, train_classes=SEEN, test_classes=ALL, channels=16,
                             in_channels=list(CHANNELS), readout_type=None, learn_temperature=True,
                             regularization=dict(type='SpatialRegularization'),
                             loss_decode=dict(type='RefinedSegLoss')))


def build(name, clip):
    """A head and random features for it, the same in each call."""
    torch.manual_seed(0)
    own = dict(MultiPromptTextHead=mvp_head, LSegHead=lseg_head)
    head = own[name](clip) if name in own else MODELS.build(head_config(clip, name))
    features = [torch.randn(2, c, 64 // 2**level, 64 // 2**level) for level, c in enumerate(CHANNELS)]
    return head, (torch.randn(2, 32, 8, 8), ) if name == 'MultiPromptTextHead' else tuple(features)


def samples(labels):
    return [SegDataSample(gt_sem_seg=PixelData(data=label[None]), metainfo={}) for label in labels]


def step(head, features, labels, dtype=None):
    """Loss () and gradients by name of a training step, by autocast to a type."""
    head.zero_grad()
    with torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
        losses = head.loss(features, labels, None)
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    values = dict(head.named_parameters()) | {f'feature {i}': one for i, one in enumerate(features)}
    return loss.detach(), {name: value.grad for name, value in values.items() if value.grad is not None}


@pytest.mark.slow
@pytest.mark.parametrize('precision', HALVES)
@pytest.mark.parametrize('name', ['MultiPromptTextHead', 'LSegHead', *HEADS])
def test_autocast_agrees_with_float32(tiny_rn, name, precision):
    outcomes = []
    for dtype in (None, HALVES[precision]):
        head, features = build(name, tiny_rn)
        loss, gradients = step(head.train(), features, batch()['data_samples'], dtype)
        with torch.no_grad(), torch.autocast('cpu', dtype or torch.bfloat16, enabled=dtype is not None):
            logits = head.eval()(features)
        outcomes.append((loss, logits.float(), torch.cat([one.flatten() for one in gradients.values()])))
    (loss, logits, gradient), (half_loss, half_logits, half_gradient) = outcomes
    errors = ((half_loss - loss).abs() / loss, (half_logits - logits).abs().max() / logits.abs().max())
    cosine = F.cosine_similarity(gradient, half_gradient, dim=0)
    print(f'{name} {precision}: loss {errors[0]:.1e}, logits {errors[1]:.1e}, gradient {cosine:.4f}')
    assert errors[0] < TOLERANCES[precision][0] and errors[1] < TOLERANCES[precision][1]
    assert cosine > TOLERANCES[precision][2] and not torch.equal(logits, half_logits)  # it was half precision


@pytest.mark.parametrize('dtype', HALVES.values())
def test_presence_has_float32_gradients_in_half_precision(dtype):
    maps = torch.rand(2, 3, 4, 4).to(dtype)
    found, exact = GPR(temperature=1e-3), GPR(temperature=1e-3).double()
    for gpr, one in ((found, maps), (exact, maps.double())):
        gpr.logits(one).sum().backward()
    assert found.logits(maps).dtype == torch.float32
    assert torch.allclose(found.log_temperature.grad.double(), exact.log_temperature.grad, rtol=1e-5)


LABELS = dict(ignored=lambda: torch.full((2, 9, 7), 255), one_class=lambda: torch.ones(2, 9, 7, dtype=torch.int64),
              one_ignored=lambda: torch.stack([torch.full((9, 7), 255), torch.randint(0, 3, (9, 7))]))


@pytest.mark.slow
@pytest.mark.parametrize('labels', LABELS)
@pytest.mark.parametrize('k', [1, 3])
def test_losses_and_gradients_of_poor_images_are_finite(tiny_rn, k, labels):
    head = mvp_head(tiny_rn, k)
    for log_tau in (-9., 0., 9.):  # of both temperatures: 0.0001 to 8000
        with torch.no_grad():
            head.log_scale.fill_(log_tau)
            head.gpr.log_temperature.fill_(log_tau)
        features = torch.randn(2, 32, 3, 4, requires_grad=True)
        loss, gradients = step(head, (features, ), samples(LABELS[labels]()))
        assert loss.isfinite() and len(gradients) == 4 and all(one.isfinite().all() for one in gradients.values())


@pytest.mark.slow
@pytest.mark.parametrize('labels', LABELS)
@pytest.mark.parametrize('name', ['LSegHead', *HEADS])
def test_text_heads_of_poor_images_are_finite(tiny_rn, name, labels):
    head, features = build(name, tiny_rn)
    loss, gradients = step(head, features, samples(LABELS[labels]()))
    assert loss.isfinite() and all(one.isfinite().all() for one in gradients.values())
    assert labels != 'ignored' or loss == 0


def test_parts_with_one_class_and_one_prompt():
    maps, contexts = torch.randn(2, 1, 3, 4, requires_grad=True), torch.randn(1, 2, 8, requires_grad=True)
    presence = GPR().logits(maps)
    label = torch.zeros(2, 9, 7, dtype=torch.int64)
    loss = RefinedSegLoss()(maps, label, log_presence=F.logsigmoid(presence))
    assert torch.allclose(loss, -F.logsigmoid(presence).mean())  # the softmax over one class is 1
    (loss + PresenceLoss()(presence, torch.ones(2, 1)) + OCLoss()(contexts)).backward()
    assert maps.grad.isfinite().all() and contexts.grad.eq(0).all()


def draw(heads):
    """A head at random temperatures and prompts, random features of any size, and random labels."""
    head = random.choice(heads)
    with torch.no_grad():
        for value, scale in ((head.log_scale, 10), (head.gpr.log_temperature, 10)):
            value.fill_(random.uniform(-scale, scale))
        contexts = head.classifier.prompts.contexts
        contexts.copy_(torch.randn_like(contexts) * random.choice([0, 10**random.uniform(-12, 4)]))
    text = torch.randn(2, len(head.classifier.vocabulary), 32, requires_grad=True)
    head.classifier.score_weights = lambda: F.normalize(text, dim=-1) * torch.tensor([3., 1.])[:, None, None]
    features = torch.randn(2, 32, random.choice([1, 3]), random.choice([1, 4])) * 10**random.uniform(-12, 4)
    features[:, :, :random.choice([0, 1])] = 0
    label = torch.randint(0, random.choice([1, len(head.classifier.vocabulary)]), (2, random.choice([1, 7]), 5))
    label[torch.rand(label.shape) < random.choice([0, 0.5, 1])] = 255
    return head, features.requires_grad_(), label, text


@pytest.mark.slow
def test_gradients_of_a_thousand_random_draws_are_finite(tiny_rn):
    heads = [mvp_head(tiny_rn, k, names) for k in (1, 3) for names in (SEEN[:2], ALL)]
    for seed in range(1000):
        torch.manual_seed(seed)
        random.seed(seed)
        head, features, label, text = draw(heads)
        loss, gradients = step(head, (features, ), samples(label), random.choice([None, *HALVES.values()]))
        wrong = [name for name, one in dict(gradients, text=text.grad).items() if not one.isfinite().all()]
        assert loss.isfinite() and not wrong, f'{wrong} of draw {seed}'

"""Text heads in segmentors: what a training step changes, other names afterwards, checkpoints."""
import pytest
import torch
from fixtures.text_models import ALL, FROZEN, HEADS, batch, build_segmentor, head_config
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import load_checkpoint, save_checkpoint
from mmseg.models.decode_heads import FCNHead, PSPHead
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_mvp.clip.identity import weights_hash
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import LearnedPrompts, OpenVocabEncoderDecoder, TemplatePrompts, TextFCNHead, TextHeadMixin


@MODELS.register_module()
class TextPSPHead(TextHeadMixin, PSPHead):
    """What a user would write: no LowResLossMixin, so any loss of mmseg goes."""


class KernelHead(FCNHead):
    """A head that classifies by something else, as mmseg's PointHead and Segmenter do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        del self.conv_seg


@MODELS.register_module()
class TextKernelHead(TextHeadMixin, KernelHead):
    """What a user would try."""


STOCK = dict(TextFCNHead='FCNHead', TextDeepLabV2Head='DeepLabV2Head', TextUPerHead='UPerHead',
             TextDeepLabV3PlusHead='DepthwiseSeparableASPPHead', TextSegformerHead='SegformerHead')


@pytest.fixture
def encoded(monkeypatch):
    """Lists of names that went through a text tower."""
    calls = []
    for prompts in (LearnedPrompts, TemplatePrompts):
        forward = prompts.forward
        monkeypatch.setattr(prompts, 'forward', lambda self, x, forward=forward: calls.append(x) or forward(self, x))
    return calls


def train(model, steps=2):
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
    return [model.train().train_step(batch(), optimizer) for _ in range(steps)]


@torch.no_grad()
def logits(model):
    model.eval()
    return model(torch.stack(batch()['inputs']), mode='tensor')


@pytest.mark.parametrize('segmentor', [EncoderDecoder, OpenVocabEncoderDecoder])
@pytest.mark.parametrize('name', HEADS)
def test_training_changes_the_head_and_encodes_fixed_text_once(tiny_rn, encoded, name, segmentor):
    model = build_segmentor(head_config(tiny_rn, name), segmentor.__name__)
    assert type(model) is segmentor
    prompts, tower = (getattr(model.decode_head.classifier, key) for key in ('prompts', 'tower'))
    contexts, text = prompts.contexts.clone(), weights_hash(tower.module)
    model.init_weights()
    before = {key: value.clone() for key, value in model.decode_head.named_parameters()}
    logged = train(model)
    assert all(one['loss'].isfinite() for one in logged) and {'decode.loss_seg', 'decode.acc_seg'} <= set(logged[0])
    unchanged = {key for key, value in model.decode_head.named_parameters() if torch.equal(value, before[key])}
    assert unchanged == {'conv_seg.classifier.prompts.contexts'}
    assert torch.equal(prompts.contexts, contexts) and weights_hash(tower.module) == text
    assert all(parameter.grad is None for parameter in [prompts.contexts, *tower.module.parameters()])
    assert len(encoded) == 1  # for 2 images in each of 2 iterations
    for _ in range(2):
        assert logits(model).shape[:2] == (2, len(ALL))
    assert len(encoded) == 2


@pytest.mark.parametrize('name', HEADS)
def test_other_names_after_training_leave_the_old_ones_their_logits(tiny_rn, name):
    model = build_segmentor(head_config(tiny_rn, name))
    train(model, steps=1)
    before = logits(model)
    model.set_classes(['boat', 'dog', 'river, stream', 'sheep'])
    after = logits(model)
    assert after.shape == (2, 4, *before.shape[2:]) and model.num_classes == model.out_channels == 4
    old = before[:, [ALL.index('dog'), ALL.index('sheep')]]
    assert (after[:, [1, 3]] - old).abs().max() < 1e-4 * (old[:, 0] - old[:, 1]).abs().mean()
    assert model.test_step(batch())[0].low_res_logits.resize().shape == (4, 64, 64)


@pytest.mark.parametrize('name', HEADS)
def test_a_checkpoint_holds_the_head_and_its_prompts_but_no_tower(tiny_rn, name):
    head = MODELS.build(head_config(tiny_rn, name))
    stock = MODELS.build(dict(HEADS[name], type=STOCK[name], num_classes=3, norm_cfg=dict(type='BN')))
    added = {'classifier.prompts.contexts', 'classifier._extra_state'}
    if head.channels != 32:
        added |= {'projection.weight', 'projection.bias'}
    shared = {key for key in stock.state_dict() if not key.startswith('conv_seg')}
    assert set(head.state_dict()) == shared | {f'conv_seg.{key}' for key in added}


def test_prompts_may_learn_and_templates_hold_nothing(tiny_rn):
    learning = build_segmentor(head_config(tiny_rn, prompts=dict(FROZEN, frozen=False)))
    contexts = learning.decode_head.classifier.prompts.contexts
    start = contexts.detach().clone()
    train(learning, steps=1)
    assert not torch.equal(contexts[1:], start[1:])
    head = MODELS.build(head_config(tiny_rn, prompts=dict(type='TemplatePrompts')))
    assert [key for key in head.state_dict() if key.startswith('conv_seg')] == ['conv_seg.classifier._extra_state']


@pytest.mark.parametrize('name', ['TextFCNHead', 'TextPSPHead'])  # with low-resolution losses and without
def test_oc_loss_keeps_the_learned_prompts_apart(tiny_rn, name):
    own = dict(type=name, loss_decode=dict(type='CrossEntropyLoss')) if name == 'TextPSPHead' else {}
    config = dict(head_config(tiny_rn, prompts=dict(FROZEN, frozen=False),
                              loss_oc=dict(type='OCLoss', loss_weight=0.3)), **own)
    if own:
        config.pop('num_convs')
        config['pool_scales'] = (1, 2)
    model = build_segmentor(config)
    contexts = model.decode_head.classifier.prompts.contexts
    means = contexts.detach().mean(dim=1)[1:]  # the first is the global prompt's, which takes no part
    pairs = [abs(F.cosine_similarity(means[i], means[j], dim=0).item()) for i, j in ((0, 1), (0, 2), (1, 2))]
    data = batch()
    losses = model.train().loss(torch.stack(data['inputs']), data['data_samples'])
    assert losses['decode.loss_oc'].item() == pytest.approx(0.3 * sum(pairs), rel=1e-5)
    assert len([key for key in losses if 'loss' in key]) == 2
    losses['decode.loss_oc'].backward()
    assert not contexts.grad[0].any() and contexts.grad[1:].flatten(1).any(dim=1).all()


@pytest.mark.parametrize('prompts', [dict(type='TemplatePrompts'), FROZEN, dict(FROZEN, frozen=False, num_prompts=1)])
def test_oc_loss_without_prompts_to_part_is_refused(tiny_rn, prompts):
    with pytest.raises(UserError, match='TextFCNHead.loss_oc is set, but its .*Prompts has fewer than two learned'):
        MODELS.build(head_config(tiny_rn, prompts=prompts, loss_oc=dict(type='OCLoss')))


def test_a_checkpoint_loads_into_its_own_clip_alone(tmp_path, tiny_rn, tiny_vit):
    model = build_segmentor(head_config(tiny_rn))
    train(model, steps=1)
    expected = logits(model)
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(tmp_path / 'student.pth'))
    same = build_segmentor(head_config(tiny_rn))
    assert not torch.allclose(logits(same), expected, atol=1e-3)
    load_checkpoint(same, str(tmp_path / 'student.pth'))
    assert torch.equal(logits(same), expected)
    for segmentor in (EncoderDecoder, OpenVocabEncoderDecoder):
        with pytest.raises(UserError, match='learned on CLIP .*tiny_rn.json.*config builds .*tiny_vit.json') as told:
            load_checkpoint(build_segmentor(head_config(tiny_vit), segmentor.__name__), str(tmp_path / 'student.pth'))
        assert '\n' not in str(told.value) and '. ' not in str(told.value)


@pytest.mark.parametrize('align_corners', [False, True])
def test_losses_of_low_resolution_are_mmsegs_resize_and_cross_entropy(tiny_rn, align_corners):
    torch.manual_seed(0)
    head = MODELS.build(head_config(tiny_rn, align_corners=align_corners)).train()
    features, samples = (None, None, None, torch.randn(2, 64, 6, 7)), batch(size=(22, 31))['data_samples']
    losses, label = head.loss(features, samples, {}), torch.cat([one.gt_sem_seg.data for one in samples])
    full = resize(head(features), size=label.shape[1:], mode='bilinear', align_corners=align_corners)
    expected = CrossEntropyLoss(avg_non_ignore=True)(full, label, ignore_index=255)
    labelled = label != 255
    assert torch.allclose(losses['loss_seg'], expected, rtol=1e-5) and expected > 0.1
    assert torch.allclose(losses['acc_seg'], 100 * (full.argmax(dim=1) == label)[labelled].float().mean())
    learned = [parameter for parameter in head.parameters() if parameter.requires_grad]
    for mine, theirs in zip(*(torch.autograd.grad(one, learned) for one in (losses['loss_seg'], expected))):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('name', HEADS)
def test_a_loss_that_needs_them_gets_logits_at_full_size(tiny_rn, name):
    model = build_segmentor(head_config(tiny_rn, name, dropout_ratio=0, loss_decode=dict(type='CrossEntropyLoss')))
    data = batch()
    features = model.extract_feat(torch.stack(data['inputs']))
    label = torch.cat([sample.gt_sem_seg.data for sample in data['data_samples']])
    full = F.interpolate(model.decode_head(features), label.shape[1:], mode='bilinear')
    expected = F.cross_entropy(full, label, ignore_index=255, reduction='sum') / label.numel()
    losses = model.decode_head.loss(features, data['data_samples'], {})
    assert losses['loss_ce'].item() == pytest.approx(expected.item(), rel=1e-4)


def test_stock_losses_go_without_the_mixin_of_low_resolution(tiny_rn):
    head = dict(head_config(tiny_rn), type='TextPSPHead', pool_scales=(1, 2), loss_decode=[
        dict(type='CrossEntropyLoss', avg_non_ignore=True), dict(type='DiceLoss')])
    head.pop('num_convs')
    model = build_segmentor(head).train()
    data = batch()
    losses = model.loss(torch.stack(data['inputs']), data['data_samples'])
    small = model(torch.stack(data['inputs']), mode='tensor')
    label = torch.cat([one.gt_sem_seg.data for one in data['data_samples']])
    expected = F.cross_entropy(F.interpolate(small, size=(64, 64), mode='bilinear'), label, ignore_index=255)
    assert torch.allclose(losses['decode.loss_ce'], expected, rtol=1e-4) and 0 < losses['decode.loss_dice'] < 1
    assert all(one['loss'].isfinite() for one in train(model))


def test_what_a_head_says_of_classes_gives_way_to_the_vocabulary(tiny_rn):
    head = MODELS.build(head_config(tiny_rn, num_classes=150, test_classes=None))
    assert isinstance(head, TextFCNHead) and head.num_classes == head.out_channels == 3


def test_a_head_without_conv_seg_is_refused(tiny_rn):
    head = dict(head_config(tiny_rn), type='TextKernelHead')
    with pytest.raises(UserError, match='TextKernelHead has no layer conv_seg'):
        MODELS.build(head)


def test_templates_are_the_default(tiny_rn):
    config = head_config(tiny_rn)
    config.pop('prompts')
    assert isinstance(MODELS.build(config).classifier.prompts, TemplatePrompts)

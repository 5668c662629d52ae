"""The head against the equations, spelled out with one loop per view and class."""
import copy
import math

import pytest
import torch
from fixtures.refusals import refused
from fixtures.text_models import batch, build_segmentor, head_config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401
from mmseg_mvp.clip import encode_prompts
from mmseg_mvp.errors import UserError

SEEN = ['cat', 'dog', 'traffic light']
ALL = ['cat', 'dog', 'traffic light', 'sheep', 'tree']


def name_classes(classifier, classes):
    classifier.test_vocabulary = classifier.read_vocabulary(classes)


def build(clip, **kwargs):
    config = dict(type='MultiPromptTextHead', clip=clip, train_classes=SEEN, test_classes=ALL,
                  prompts=dict(type='LearnedPrompts', num_prompts=3, context_length=4), gpr=dict(type='GPR'),
                  loss_presence=dict(type='PresenceLoss'), loss_oc=dict(type='OCLoss'))
    torch.manual_seed(0)
    return MODELS.build(dict(config, **kwargs))


def samples(label):
    return [SegDataSample(gt_sem_seg=PixelData(data=one[None]), metainfo=dict(img_path=f'{index}.jpg'))
            for index, one in enumerate(label)]


def naive_views(head, features, names):
    """m_i^c for every prompt and class: (B, k+1, C, h, w)."""
    text = head.classifier.tower.module
    maps = []
    for context in head.classifier.prompts.contexts:
        row = []
        for name in names:
            t = encode_prompts(text, context[None], [text.tokenize(f'{name}.')])[0, 0]
            row.append(F.cosine_similarity(features, t[None, :, None, None], dim=1))
        maps.append(torch.stack(row, dim=1))
    return torch.stack(maps, dim=1)


@pytest.fixture
def head(tiny_rn):
    return build(tiny_rn)


def test_views_fused_maps_and_refinement_follow_the_equations(head):
    head.eval()
    features = torch.randn(2, 32, 5, 6)
    views = naive_views(head, features, ALL)
    assert torch.allclose(head.view_maps((features, )), views, atol=1e-5)
    fused = head.logit_scale * views[:, 1:].sum(dim=1)
    maps = head.class_maps((features, ))
    assert torch.allclose(maps, torch.cat([fused, views[:, 0]], dim=1), atol=1e-4)
    g = head.gpr(views[:, 0]).exp()
    refined = fused.softmax(dim=1) * g[:, :, None, None]
    ours = head((features, ))
    assert torch.allclose(ours.softmax(dim=1), refined / refined.sum(dim=1, keepdim=True), atol=1e-4)
    assert torch.equal(ours.argmax(dim=1), refined.argmax(dim=1))


@pytest.mark.parametrize('gpr', [dict(type='GPR'), None])
@pytest.mark.parametrize('sharpness', [0., 50., math.inf])
def test_another_fusion_of_views(tiny_rn, gpr, sharpness):
    head = build(tiny_rn, fusion=dict(type='logsumexp', sharpness=sharpness), gpr=gpr).eval().double()
    features = torch.randn(2, 32, 5, 6, dtype=torch.float64)
    views = naive_views(head, features, ALL)
    segmentation = views[:, 1:]
    fused = {0.: segmentation.sum(dim=1), math.inf: 3 * segmentation.amax(dim=1)}.get(
        sharpness, 3 / 50 * (50 * segmentation).exp().mean(dim=1).log())
    logits = head.logit_scale * fused
    if gpr:
        logits = logits + head.gpr(views[:, 0])[:, :, None, None]
    assert torch.allclose(head((features, )), logits, atol=1e-5)
    assert torch.allclose(head.view_maps((features, )), views, atol=1e-5)


def test_a_learned_sharpness_is_trained(tiny_rn):
    head = build(tiny_rn, fusion=dict(type='logsumexp', sharpness=20., learned=True)).train()
    label = torch.randint(0, 3, (2, 8, 8))
    losses = head.loss((torch.randn(2, 32, 4, 4), ), samples(label))
    losses['loss_seg'].backward()
    assert head.classifier.fusion.log_sharpness.grad.abs() > 0


def test_losses_follow_the_equations_with_gradients_to_all_that_is_learned(head):
    head.train().double()
    features = torch.randn(2, 32, 4, 4, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 8, 8))
    label[:, 0] = 255
    label[0][label[0] == 2] = 255
    losses = head.loss((features, ), samples(label))
    views = naive_views(head, features, SEEN)
    logits = F.interpolate(head.logit_scale * views[:, 1:].sum(dim=1), size=(8, 8), mode='bilinear')
    g = head.gpr(views[:, 0]).exp()
    m = logits.softmax(dim=1) * g[:, :, None, None]
    seg = F.nll_loss(m.log(), label, ignore_index=255)
    present = torch.tensor([[(one == c).any() for c in range(3)] for one in label], dtype=torch.float64)
    presence = F.binary_cross_entropy(g, present)
    means = head.classifier.prompts.contexts[1:].mean(dim=1)
    oc = sum(F.cosine_similarity(means[i], means[j], dim=0).abs() for i in range(3) for j in range(i + 1, 3))
    ours = torch.stack([losses['loss_seg'], losses['loss_presence'], losses['loss_oc']])
    assert torch.allclose(ours, torch.stack([seg, presence, oc]), rtol=1e-9)

    learned = [head.classifier.prompts.contexts, head.log_scale, head.gpr.log_temperature]
    for mine, naive in zip(torch.autograd.grad(ours.sum(), learned), torch.autograd.grad(seg + presence + oc, learned)):
        assert torch.allclose(mine, naive, rtol=1e-6, atol=1e-10) and naive.abs().sum() > 0
    assert torch.allclose(losses['logit_scale'], head.logit_scale)
    assert torch.allclose(losses['temperature'], head.gpr.temperature)
    cosines = [F.cosine_similarity(means[i], means[j], dim=0) for i in range(3) for j in range(i + 1, 3)]
    assert torch.allclose(losses['prompt_cosine'], sum(cosines) / 3)
    for view, mean in enumerate(means, 1):
        assert torch.allclose(losses[f'prompt_norm_{view}'], mean.square().sum().sqrt())


def test_only_prompts_and_scales_are_learned_and_saved(head):
    names = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    assert names == {'classifier.prompts.contexts', 'log_scale', 'gpr.log_temperature'}
    assert set(head.state_dict()) == names | {'classifier._extra_state'}


def test_scale_starts_alike_for_any_number_of_prompts(tiny_rn):
    for k in (1, 3):
        head = build(tiny_rn, scale=12., prompts=dict(type='LearnedPrompts', num_prompts=k))
        assert torch.allclose(k * head.logit_scale, torch.tensor(12.))


def test_text_is_encoded_once_per_class_list_and_state_of_the_prompts(head, monkeypatch):
    calls = []
    forward = type(head.classifier.prompts).forward
    monkeypatch.setattr(type(head.classifier.prompts), 'forward', lambda self, x: calls.append(x) or forward(self, x))
    head.eval()
    features = torch.randn(1, 32, 2, 2)
    with torch.no_grad():
        first = head((features, ))
        assert torch.equal(head((features, )), first) and len(calls) == 1
        head.classifier.prompts.contexts.data.add_(0.1)  # an EMA does this, without a version bump
        assert not torch.equal(head((features, )), first) and len(calls) == 2
        name_classes(head.classifier, ['boat', 'river'])
        assert head((features, )).shape == (1, 2, 2, 2) and len(calls) == 3
    head.train()
    assert head((features, )).shape == (1, 3, 2, 2)
    name_classes(head.classifier, ['boat', 'river', 'sky', 'road'])  # names the test classes, in train mode as well
    assert head((features, )).shape == (1, 3, 2, 2)


@pytest.mark.parametrize('synonyms', ['max', 'mean'])
def test_synonyms(tiny_rn, synonyms):
    head = build(tiny_rn, test_classes=['cat, kitten', 'dog'], synonyms=synonyms, gpr=None).eval()
    features = torch.randn(1, 32, 3, 3)
    views = naive_views(head, features, ['cat', 'kitten', 'dog'])[:, 1:]
    if synonyms == 'max':
        scores = views.sum(dim=1)
        expected = torch.stack([scores[:, :2].amax(dim=1), scores[:, 2]], dim=1)
    else:
        embeddings = head.classifier.prompts(['cat', 'kitten', 'dog'])[1:]
        cat = F.normalize(embeddings[:, :2].mean(dim=1), dim=-1)
        unit = F.normalize(features, dim=1)
        expected = torch.stack([torch.einsum('bdhw,vd->bhw', unit, cat),
                                torch.einsum('bdhw,vd->bhw', unit, embeddings[:, 2])], dim=1)
    assert torch.allclose(head((features, )), head.logit_scale * expected, atol=1e-4)


def test_templates_are_averaged_as_clip_does(tiny_rn):
    templates = ['a photo of a {}.', 'there is a {} in the scene.']
    head = build(tiny_rn, prompts=dict(type='TemplatePrompts', templates=templates), gpr=None, scale=100.).eval()
    clip = head.classifier.clip
    expected = []
    for name in ALL:
        text = F.normalize(clip.model.encode_text(clip.tokenizer([one.format(name) for one in templates])), dim=-1)
        expected.append(F.normalize(text.mean(dim=0), dim=-1))
    assert torch.allclose(head.classifier.embeddings()[0], torch.stack(expected), atol=1e-5)
    assert not any(parameter.requires_grad for parameter in head.parameters())


def test_prompts_start_from_a_phrase(tiny_rn):
    head = build(tiny_rn, prompts=dict(type='LearnedPrompts', num_prompts=2, context_length=6, init='a photo of a'))
    text = head.classifier.tower.module
    words = text.embed(torch.tensor(text.tokenize('a photo of a')))
    contexts = head.classifier.prompts.contexts
    assert contexts.shape == (3, 6, 32)
    assert (contexts[:, 2:] - words).abs().max() < 0.02 and not torch.equal(contexts[0], contexts[1])
    own = build(tiny_rn, prompts=dict(type='LearnedPrompts', num_prompts=1, context_length=2, init=['photo', 'a map']))
    expected = text.embed(torch.tensor(text.tokenize('a map')))
    assert torch.allclose(own.classifier.prompts.contexts[1], expected, atol=0.02)


def test_other_backbone_channels_get_a_learned_projection_and_train(tiny_rn):
    head = build(tiny_rn, in_channels=7)
    assert head.projection.weight.shape == (32, 7, 1, 1)
    losses = head.loss((torch.randn(2, 7, 4, 4), ), samples(torch.randint(0, 3, (2, 8, 8))))
    losses['loss_seg'].backward()
    assert head.projection.weight.grad.abs().sum() > 0


def test_any_mmseg_loss_sees_the_refined_logits(tiny_rn):
    head = build(tiny_rn, loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True))
    features, label = torch.randn(1, 32, 4, 4), torch.randint(0, 3, (1, 4, 4))
    losses = head.loss((features, ), samples(label))
    assert torch.allclose(losses['loss_ce'], F.cross_entropy(head((features, )), label), atol=1e-5)


class TestCheckpoint:

    def test_round_trip(self, head, tiny_rn):
        other = build(tiny_rn)
        with torch.no_grad():
            head.classifier.prompts.contexts.normal_()
        other.load_state_dict(copy.deepcopy(head.state_dict()))
        assert torch.equal(other.classifier.prompts.contexts, head.classifier.prompts.contexts)

    def test_another_clip_is_refused_naming_both(self, head, tiny_vit):
        with pytest.raises(UserError, match='learned on CLIP .*tiny_rn.json.*config builds .*tiny_vit.json'):
            build(tiny_vit).load_state_dict(head.state_dict())

    def test_another_number_of_prompts_is_refused(self, head, tiny_rn):
        other = build(tiny_rn, prompts=dict(type='LearnedPrompts', num_prompts=2, context_length=4))
        with pytest.raises(UserError, match="'num_prompts': 3.*'num_prompts': 2"):
            other.load_state_dict(head.state_dict())


class TestBadInput:

    def test_label_outside_the_classes_names_the_image(self, head):
        label = torch.zeros(2, 4, 4, dtype=torch.long)
        label[1, 0, 0] = 7
        with pytest.raises(UserError, match=r"mask of '1.jpg' holds the labels \[7\].*3 classes"):
            head.loss((torch.randn(2, 32, 2, 2), ), samples(label))

    def test_gpr_needs_a_global_prompt(self, tiny_rn):
        with pytest.raises(UserError, match='no global prompt'):
            build(tiny_rn, prompts=dict(type='LearnedPrompts', global_prompt=False))

    def test_scales_must_be_positive(self, tiny_rn):
        with pytest.raises(UserError, match='scale.* is 0'):
            build(tiny_rn, scale=0)
        with pytest.raises(UserError, match='GPR.temperature is -1'):
            build(tiny_rn, gpr=dict(type='GPR', temperature=-1))

    @pytest.mark.parametrize('classes, words', [
        ([], 'No class'), (['cat'], 'single class'), (['cat', 'dog', 'cat'], r"\['cat'\]"),
        (['cat', 'dog' + ' dog' * 80], '82 tokens'), ('voc22', 'voc22')])
    def test_class_lists(self, head, classes, words):
        before = head.classifier.vocabulary
        with pytest.raises(UserError, match=words):
            name_classes(head.classifier, classes)
        assert head.classifier.vocabulary is before  # a refused list changes nothing

    @pytest.mark.parametrize('prompts, words', [
        (dict(num_prompts=0), 'num_prompts is 0'), (dict(context_length=0), 'context_length is 0'),
        (dict(init='a photo of a', context_length=2), '4 tokens'),
        (dict(init=['one'], num_prompts=2), '1 phrases for 3')])
    def test_prompts(self, tiny_rn, prompts, words):
        with pytest.raises(UserError, match=words):
            build(tiny_rn, prompts=dict(type='LearnedPrompts', **prompts))

    def test_synonyms(self, tiny_rn):
        with pytest.raises(UserError, match='expected one of max, mean'):
            build(tiny_rn, synonyms='sum')


NAN, INF = math.nan, math.inf


SETTINGS = [
    ('scale', [0, -1, NAN, INF, 'a', None]), ('in_channels', [0, -1, 1.5, 'a', [3, 4]]), ('num_classes', [3]),
    ('ignore_index', ['a', None, 1.5]), ('train_classes', [None, 3, ['cat'], [], b'cat, dog']),
    ('test_classes', [3, [], ['cat']]), ('synonyms', ['x', None, []]), ('prompts', [None, {}, 'LearnedPrompts']),
    ('clip', [None, {}, 'RN50', dict(model=3), dict(model=['RN50']), dict(model=None), dict(model='RN50', foo=1),
              dict(weights='openai'), dict(model='RN50', weights=3)]),
]


@pytest.fixture(scope='module')
def small_head(tiny_rn):
    return MODELS.build(dict(type='MultiPromptTextHead', clip=tiny_rn, train_classes='toy:seen', in_index=0)).eval()


@pytest.mark.parametrize('key, value', [(key, value) for key, values in SETTINGS for value in values])
def test_head_built_with(tiny_rn, key, value):
    config = {'clip': tiny_rn, 'train_classes': 'toy:seen', key: value}
    refused(lambda: MODELS.build(dict(type='MultiPromptTextHead', **config)))


@pytest.mark.parametrize('features', [
    torch.ones(2, 33, 4, 4), torch.ones(2, 32, 0, 4), torch.ones(32, 4, 4), torch.ones(2, 32, 4, 4).long(),
    torch.ones(2, 32, 4, 4, device='meta'), None])
def test_head_called_with(small_head, features):
    refused(lambda: small_head([features]), 'MultiPromptTextHead')


def test_no_image_has_no_logits(small_head):
    assert small_head([torch.ones(0, 32, 4, 4)]).shape == (0, len(small_head.classifier.vocabulary), 4, 4)


@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_logits_that_are_not_finite_are_no_prediction(tiny_rn, value):
    """Their argmax would be the first class, everywhere."""
    model = build_segmentor(head_config(tiny_rn)).eval()
    inputs = batch()
    with torch.no_grad():
        model.predict(torch.stack(inputs['inputs']), inputs['data_samples'])
        next(model.backbone.parameters()).fill_(value)
        refused(lambda: model.predict(torch.stack(inputs['inputs']), inputs['data_samples']), 'not finite')

"""The text layer against the equations, with one loop per view and class."""
import math

import pytest
import torch
from fixtures.refusals import refused
from fixtures.text_models import head_config
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_mvp.clip import encode_prompts
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextClassifier, TextLayer

NAMES = ['cat', 'dog', 'traffic light']
LEARNED = dict(type='LearnedPrompts', num_prompts=3, context_length=4, std=1.)
TEMPLATES = dict(type='TemplatePrompts', templates=['a photo of a {}.', 'there is a {} in the scene.'])


def name_classes(classifier, classes):
    classifier.test_vocabulary = classifier.read_vocabulary(classes)


def build(clip, names=NAMES, prompts=LEARNED, synonyms='max', **kwargs):
    torch.manual_seed(0)
    return TextLayer(TextClassifier(clip, prompts, names, synonyms=synonyms), **dict(dict(channels=32), **kwargs))


def learned_view(layer, context, wording):
    """t_i, normalised, of one context and one wording."""
    text = layer.classifier.tower.module
    return F.normalize(encode_prompts(text, context[None], [text.tokenize(f'{wording}.')])[0, 0], dim=0)


def embedding(layer, wording):
    """Sum of the normalised embeddings of a wording over the segmentation views, one view after the other."""
    prompts, clip = layer.classifier.prompts, layer.classifier.clip
    if prompts.learnable:
        return sum(learned_view(layer, context, wording) for context in list(prompts.contexts)[1:])
    sentences = clip.tokenizer([template.format(wording) for template in TEMPLATES['templates']])
    return F.normalize(sum(F.normalize(one, dim=0) for one in clip.model.encode_text(sentences)), dim=0)


def products(features, vectors):
    """<f, t> for a list of vectors: (B, len, h, w)."""
    return torch.stack([(features * vector[:, None, None]).sum(dim=1) for vector in vectors], dim=1)


@pytest.mark.parametrize('prompts', [LEARNED, TEMPLATES], ids=lambda prompts: prompts['type'])
def test_logits_are_products_of_features_with_sums_of_normalised_views(tiny_clip, prompts):
    layer = build(tiny_clip, prompts=prompts)
    features = 5 * torch.randn(2, 32, 4, 3)
    expected = products(features, [embedding(layer, name) for name in NAMES])
    assert torch.allclose(layer(features), expected, atol=1e-4)
    assert torch.allclose(layer(7 * features), 7 * expected, atol=1e-3)  # features are not normalised


def test_the_global_prompt_does_not_count(tiny_rn):
    layer = build(tiny_rn)
    features = torch.randn(1, 32, 2, 2)
    before = layer(features)
    before.sum().backward()
    gradient = layer.classifier.prompts.contexts.grad.abs().flatten(1).sum(dim=1)
    assert gradient[0] == 0 and (gradient[1:] > 0).all()
    with torch.no_grad():
        layer.classifier.prompts.contexts[0].normal_()
        assert torch.allclose(layer(features), before, atol=1e-6)
        layer.classifier.prompts.contexts[1].normal_()
        assert not torch.allclose(layer(features), before, atol=1e-3)


@pytest.mark.parametrize('temperature', [0.07, 2.])
def test_temperature_divides_cosines(tiny_rn, temperature):
    layer = build(tiny_rn, temperature=temperature)
    features = 5 * torch.randn(2, 32, 4, 3)
    expected = [F.cosine_similarity(features, embedding(layer, name)[None, :, None, None]) for name in NAMES]
    assert torch.allclose(layer(features), torch.stack(expected, dim=1) / temperature, atol=1e-4)


def test_other_channels_are_projected_first(tiny_rn):
    layer = build(tiny_rn, channels=7)
    features = torch.randn(2, 7, 4, 3)
    projected = torch.einsum('bchw,dc->bdhw', features, layer.projection.weight[..., 0, 0])
    projected = projected + layer.projection.bias[:, None, None]
    expected = products(projected, [embedding(layer, name) for name in NAMES])
    assert torch.allclose(layer(features), expected, atol=1e-4)
    layer(features)[:, 0].sum().backward()
    assert layer.projection.weight.grad.abs().sum() > 0


def test_the_best_synonym_counts(tiny_rn):
    layer = build(tiny_rn, names=['cat, kitten, pussycat', 'dog', 'sky, heaven'])
    features = torch.randn(2, 32, 6, 6)
    scores = [products(features, [embedding(layer, name) for name in group])
              for group in (['cat', 'kitten', 'pussycat'], ['dog'], ['sky', 'heaven'])]
    assert torch.allclose(layer(features), torch.stack([one.amax(dim=1) for one in scores], dim=1), atol=1e-4)
    assert len(scores[0].argmax(dim=1).unique()) == 3  # each wording is the best somewhere


class TestLearnedBackground:
    NAMES = ['cat, kitten', 'background', 'dog']

    def expected(self, layer, features, names):
        vectors = [layer.background if name == 'background' else embedding(layer, name) for name in names]
        return products(features, vectors)

    def test_it_stands_for_the_class_called_background(self, tiny_rn):
        layer = build(tiny_rn, names=self.NAMES, learn_background=True)
        features = torch.randn(2, 32, 4, 3)
        scores = self.expected(layer, features, ['cat', 'kitten', 'background', 'dog'])
        expected = torch.cat([scores[:, :2].amax(dim=1, keepdim=True), scores[:, 2:]], dim=1)
        assert torch.allclose(layer(features), expected, atol=1e-4)
        plain = build(tiny_rn, names=self.NAMES)(features)
        assert not torch.allclose(layer(features)[:, 1], plain[:, 1], atol=1e-2)
        assert torch.allclose(layer(features)[:, ::2], plain[:, ::2], atol=1e-5)

    def test_among_mean_synonyms(self, tiny_rn):
        layer = build(tiny_rn, names=self.NAMES, synonyms='mean', learn_background=True)
        features = torch.randn(2, 32, 4, 3)
        contexts = list(layer.classifier.prompts.contexts)[1:]
        cat = sum(F.normalize(learned_view(layer, one, 'cat') + learned_view(layer, one, 'kitten'), dim=0)
                  for one in contexts)
        expected = products(features, [cat, layer.background, embedding(layer, 'dog')])
        assert torch.allclose(layer(features), expected, atol=1e-4)

    def test_gradients_reach_it_through_its_class_alone(self, tiny_rn):
        layer = build(tiny_rn, names=self.NAMES, prompts=TEMPLATES, learn_background=True)
        features = torch.randn(2, 32, 4, 3)
        layer(features)[:, ::2].sum().backward()
        assert not layer.background.grad.any()
        layer(features)[:, 1].sum().backward()
        assert torch.allclose(layer.background.grad, features.sum(dim=(0, 2, 3)), atol=1e-4)

    def test_it_is_gone_where_no_class_is_called_so(self, tiny_rn):
        layer = build(tiny_rn, names=self.NAMES, learn_background=True).eval()
        features = torch.randn(2, 32, 4, 3)
        name_classes(layer.classifier, ['dog', 'rest = background', 'cat'])  # a wording is not the class
        expected = products(features, [embedding(layer, name) for name in ('dog', 'background', 'cat')])
        assert torch.allclose(layer(features), expected, atol=1e-4)
        name_classes(layer.classifier, ['dog', 'background', 'boat'])
        assert torch.allclose(layer(features), self.expected(layer, features, ['dog', 'background', 'boat']), atol=1e-4)

    def test_temperature_takes_its_cosine(self, tiny_rn):
        layer = build(tiny_rn, names=self.NAMES, learn_background=True, temperature=0.5)
        features = torch.randn(2, 32, 4, 3)
        expected = 2 * F.cosine_similarity(features, layer.background[None, :, None, None])
        assert torch.allclose(layer(features)[:, 1], expected, atol=1e-5)


@pytest.mark.parametrize('settings, words', [
    (dict(temperature=0), 'temperature of the text layer is 0'),
    (dict(temperature=-1.), 'is -1.0: expected a finite number above 0'),
    (dict(learn_background=True), "no training class is called 'background'")])
def test_bad_settings(tiny_rn, settings, words):
    with pytest.raises(UserError, match=words):
        build(tiny_rn, **settings)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize('temperature', [0, -1, NAN, INF, 'a', True])
def test_temperatures(tiny_rn, temperature):
    refused(lambda: MODELS.build(head_config(tiny_rn, temperature=temperature)), 'temperature')

"""Fusions against naive loops over classes, views and pixels."""
import math

import pytest
import torch
from fixtures.logs import record_logs
from fixtures.refusals import refused
from torch.nn import functional as F

from mmseg_mvp.models import TextClassifier, TextLayer
from mmseg_mvp.models.text.view_fusion import ViewFusion, build_fusion

LEARNED = dict(type='LearnedPrompts', num_prompts=3, context_length=4, std=1.)
NAMES = ['cat, kitten', 'dog', 'traffic light, lamp, signal']


def naive(scores, kind, sharpness):
    """Score of one class at one pixel from those of its views, as numbers."""
    if kind == 'sum':
        return sum(scores)
    mean = sum(math.exp(sharpness * score) for score in scores) / len(scores)
    return len(scores) / sharpness * math.log(mean)


@pytest.mark.parametrize('kind, sharpness', [('sum', 50.), ('logsumexp', 50.), ('logsumexp', 3.), ('logsumexp', .1)])
@pytest.mark.parametrize('others', [0, 1])
def test_values_are_those_of_a_loop(kind, sharpness, others):
    fusion = ViewFusion(3, kind, sharpness)
    views = torch.rand(2, 3, 4, 2, 3, dtype=torch.float64) * 2 - 1
    rest = torch.rand(2, others, 4, 2, 3, dtype=torch.float64)
    maps = views.sum(dim=1, keepdim=True) if kind == 'sum' else views  # the sum is that of the embeddings
    fused = fusion(torch.cat([maps, rest], dim=1))
    assert fused.shape == (2, 1 + others, 4, 2, 3) and torch.equal(fused[:, 1:], rest)
    for b, c, y, x in torch.cartesian_prod(*map(torch.arange, (2, 4, 2, 3))).tolist():
        assert fused[b, 0, c, y, x].item() == pytest.approx(naive(views[b, :, c, y, x].tolist(), kind, sharpness))


@pytest.mark.parametrize('learned', [False, True])
def test_gradients(learned):
    fusion = ViewFusion(3, 'logsumexp', 7., learned).double()
    maps = torch.rand(1, 4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda one, *_: fusion(one), (maps, *fusion.parameters()))
    assert learned == bool(list(fusion.parameters()))


def test_the_limits_are_mean_and_maximum():
    maps = torch.rand(2, 5, 3, 4, 4, dtype=torch.float64)
    mean, largest = 5 * maps.mean(dim=1, keepdim=True), 5 * maps.amax(dim=1, keepdim=True)
    for sharpness, expected, error in ((0, mean, 1e-12), (1e-6, mean, 1e-5), (1e6, largest, 1e-4),
                                       (math.inf, largest, 1e-12)):
        assert torch.allclose(ViewFusion(5, 'logsumexp', sharpness)(maps), expected, atol=error)


def test_large_sharpness_does_not_overflow():
    maps = torch.tensor([100., 99., -100.]).view(1, 3, 1, 1, 1).requires_grad_()
    ViewFusion(3, 'logsumexp', 1000.)(maps).sum().backward()
    assert torch.equal(maps.grad.flatten(), torch.tensor([3., 0., 0.]))


def test_one_view_is_the_same_under_all_fusions(tiny_rn):
    features = F.normalize(torch.randn(2, 32, 3, 3), dim=1)
    maps = []
    for fusion in ('sum', 'logsumexp', dict(type='logsumexp', sharpness=3.)):
        torch.manual_seed(0)
        classifier = TextClassifier(tiny_rn, dict(LEARNED, num_prompts=1), NAMES, fusion=fusion)
        maps.append(classifier(features, classifier.score_weights()))
    assert torch.equal(maps[0], maps[1]) and torch.equal(maps[0], maps[2])


@pytest.mark.parametrize('synonyms', ['max', 'mean'])
def test_the_best_wording_is_taken_of_fused_scores(tiny_rn, synonyms):
    classifier = TextClassifier(tiny_rn, LEARNED, NAMES, synonyms=synonyms, fusion='logsumexp').double()
    features = F.normalize(torch.randn(1, 32, 2, 2, dtype=torch.float64), dim=1)
    maps = classifier(features, classifier.score_weights())
    rows = classifier.embeddings()  # (1 + 3, S, D)
    first = 0
    for index, count in enumerate(classifier.row_counts):
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            cosines = rows[:, first:first + count] @ features[0, :, y, x]  # (4, S_c)
            fused = max(naive(one.tolist(), 'logsumexp', 50.) for one in cosines[1:].T)
            assert maps[0, 0, index, y, x].item() == pytest.approx(fused, abs=1e-6)
            assert maps[0, 1, index, y, x].item() == pytest.approx(cosines[0].max().item(), abs=1e-6)
        first += count


@pytest.mark.parametrize('temperature', [None, 0.07])
def test_a_text_layer_fuses_products_or_cosines(tiny_rn, temperature):
    classifier = TextClassifier(tiny_rn, LEARNED, ['cat', 'background'], fusion=dict(type='logsumexp', sharpness=4.))
    layer = TextLayer(classifier, 32, temperature, learn_background=True).double()
    features = torch.randn(1, 32, 1, 2, dtype=torch.float64)
    logits = layer(features)
    for x in range(2):
        f, background = features[0, :, 0, x], layer.background
        if temperature:
            f, background = f / f.norm(), background / background.norm()
        cat = naive((classifier.embeddings()[1:, 0] @ f).tolist(), 'logsumexp', 4.)
        expected = torch.tensor([cat / 3 / temperature if temperature else cat,
                                 (f @ background).item() / (temperature or 1)], dtype=torch.float64)
        assert torch.allclose(logits[0, :, 0, x], expected, atol=1e-6)


def test_a_checkpoint_of_before_loads_as_the_sum_and_another_fusion_is_told(tiny_rn, monkeypatch):
    said = record_logs(monkeypatch, 'mmseg_mvp.models.text.record')
    summed, fused = (TextClassifier(tiny_rn, LEARNED, ['cat', 'dog'], fusion=name) for name in ('sum', 'logsumexp'))
    assert b'fusion' not in bytes(summed.get_extra_state().tolist())
    summed.load_state_dict(summed.state_dict())
    fused.load_state_dict(fused.state_dict())
    assert not said
    fused.load_state_dict(summed.state_dict())
    summed.load_state_dict(fused.state_dict())
    assert ["fusion 'sum', but the config has 'logsumexp'" in said[0], len(said)] == [True, 2]
    assert "fusion 'logsumexp', but the config has 'sum'" in said[1]


@pytest.mark.parametrize('fusion, words', [
    ('max', "'max': expected one of sum, logsumexp"), (None, 'None: expected'), ({}, 'expected'),
    (dict(type='logsumexp', sharp=3), "'sharp': 3"), (dict(type='logsumexp', sharpness=-1.), 'sharpness'),
    (dict(type='logsumexp', sharpness=float('nan')), 'sharpness'), (dict(type='sum', learned=True), 'learned=False'),
    (dict(type='logsumexp', sharpness=0., learned=True), 'learned=False')])
def test_bad_settings(fusion, words):
    refused(lambda: build_fusion(fusion, 3), words)

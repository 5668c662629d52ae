"""Words, thresholds and areas: labels and probabilities from low-resolution logits, against full-size loops."""
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmseg_mvp.models.modules.pamr import PAMR
from mmseg_mvp.models.segmentors import LowResSegTTAModel
from mmseg_mvp.models.utils import refined_logits, tiled_resize
from mmseg_mvp.models.utils.decision import Decision, best_of
from mmseg_mvp.models.utils.low_res_logits import LowResLogits
from mmseg_mvp.models.utils.refined_logits import RefinedLogits
from mmseg_mvp.models.utils.tiled_resize import resize_matrices

COUNTS = (4, 1, 2, 1, 3)  # words of five classes; the first is the background
SIZE = (37, 52)


def low_res(decision, refined=False, seed=0):
    torch.manual_seed(seed)
    logits = 4 * torch.randn(sum(COUNTS), 9, 13)
    rows, columns = resize_matrices(logits, SIZE, False)
    fields = dict(logits=logits, rows=rows, columns=columns)
    if not refined:
        return LowResLogits(**fields, metainfo=dict(decision=decision))
    return RefinedLogits(**fields, image=torch.rand(3, *SIZE),
                         metainfo=dict(decision=decision, refinement=PAMR(2, (1, 3))))


def words_of(one):
    """Softmax over the words of the full-size logits, (S, H, W)."""
    full = F.interpolate(one.logits[None], size=SIZE, mode='bilinear')[0]
    if isinstance(one, RefinedLogits):
        full = one.refinement(full, one.refinement.weights(one.image))
    return full.softmax(dim=0).numpy()


def naive(words, prob_thd=0., area_thd=None, background=0):
    """Labels (H, W) and class probabilities (C, H, W) by loops."""
    owner = [label for label, count in enumerate(COUNTS) for _ in range(count)]
    classes = np.zeros((len(COUNTS), *SIZE))
    for row, label in enumerate(owner):
        classes[label] = np.maximum(classes[label], words[row])
    return naive_of(classes, prob_thd, area_thd, background)


def naive_of(classes, prob_thd, area_thd, background=0):
    """Labels (H, W) of class probabilities (C, H, W), and these."""
    scores = classes.copy()
    if area_thd is not None:
        first = scores.argmax(0)
        foreground = sum((first == label).sum() for label in range(len(COUNTS)) if label != background)
        for label in range(len(COUNTS)):
            if label != background and (first == label).sum() <= area_thd * foreground:
                scores[label] *= 0
    labels = scores.argmax(0)
    if prob_thd:
        labels[scores.max(0) < prob_thd] = background
    return labels, classes


@pytest.fixture(params=['tiles', 'one tile', 'chunks', 'one chunk'])
def refined(request, monkeypatch):
    """Whether borders are refined; the sizes of tiles and chunks change nothing."""
    monkeypatch.setitem(tiled_resize.TILE_VALUES, 'cpu', 700 if request.param == 'tiles' else 2**20)
    monkeypatch.setitem(refined_logits.CHUNK_VALUES, 'cpu', 3 * 37 * 52 if request.param == 'chunks' else 2**24)
    return 'chunk' in request.param


@pytest.mark.parametrize('prob_thd, area_thd, background', [
    (0., None, None), (0.5, None, 0), (0.45, 0.25, 0), (0., 0.3, 2), (0.6, 0.1, 4), (1., None, 0)])
def test_labels_are_those_of_loops_over_full_size_probabilities(refined, prob_thd, area_thd, background):
    one = low_res(Decision(COUNTS, background, prob_thd, area_thd), refined)
    expected, _ = naive(words_of(one), prob_thd, area_thd, background)
    labels = one.label_map()
    assert labels.dtype == torch.int64 and (labels.numpy() == expected).mean() > 0.999
    plain, _ = naive(words_of(one))
    if prob_thd or area_thd:
        assert (expected != plain).mean() > 0.02


def test_probabilities_are_the_highest_of_the_words(refined):
    one = low_res(Decision(COUNTS, 0, 0.5), refined)
    _, expected = naive(words_of(one))
    np.testing.assert_allclose(one.probabilities(), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(one.resize().exp(), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(one.probability_map(), expected.max(0), rtol=1e-3, atol=1e-5)
    for label in range(len(COUNTS)):
        np.testing.assert_allclose(one.probability_map(label), expected[label], rtol=1e-3, atol=1e-5)


def test_classes_of_one_word_each_need_no_words():
    """A threshold without words: the softmax over classes that the logits alone give."""
    one = low_res(Decision((1, ) * sum(COUNTS), 3, 0.5))
    other = low_res(None)
    assert torch.allclose(one.probabilities(), other.probabilities(), atol=1e-6)
    best = other.probabilities().max(dim=0)
    expected = best.indices.masked_fill(best.values < 0.5, 3)
    assert torch.equal(one.label_map(), expected) and not torch.equal(expected, best.indices)


def test_views_are_averaged_before_the_decision():
    """Test time augmentation: the mean of the probabilities of the classes, then areas and the threshold."""
    rule = Decision(COUNTS, 0, 0.3, 0.1)
    views = [low_res(rule, seed=seed) for seed in (0, 1)]
    mean = sum(naive(words_of(one))[1] for one in views) / 2
    expected, _ = naive_of(mean, 0.3, 0.1)
    samples = [[SegDataSample(metainfo={}) for _ in range(1)] for _ in views]
    for (sample, ), one in zip(samples, views):
        sample.set_data(dict(low_res_logits=one, pred_sem_seg=PixelData(data=one.label_map()[None])))
    merged, = LowResSegTTAModel.merge_preds(None, [[sample for sample, in samples]])
    found = merged.pred_sem_seg.data[0].numpy()
    assert (found == expected).mean() > 0.999 and 0 < (expected == 0).mean() < 1


def test_an_area_at_the_threshold_is_removed():
    """Ten foreground pixels: class 1 has one, class 2 has nine; each pixel's second class is the background."""
    labels = torch.tensor([[1] + [2] * 9 + [0] * 10])
    probabilities = 0.4 * F.one_hot(torch.zeros_like(labels), 3) + 0.6 * F.one_hot(labels, 3)
    best = best_of(probabilities.permute(2, 0, 1))
    for area_thd, expected in ((0.09, labels), (0.1, labels.masked_fill(labels == 1, 0)), (1, labels * 0)):
        assert torch.equal(Decision((1, 1, 1), 0, 0., area_thd).labels(best), expected)


def test_nothing_of_the_image_is_foreground():
    best = best_of(torch.tensor([0.9, 0.1])[:, None, None].expand(2, 3, 4))
    assert torch.equal(Decision((1, 1), 0, 0.5, 0.1).labels(best), torch.zeros(3, 4, dtype=torch.int64))

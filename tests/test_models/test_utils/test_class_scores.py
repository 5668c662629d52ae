"""Best places and reasons, in tiles and in chunks, against the softmax of full-size logits."""
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmseg_mvp.models.modules.pamr import PAMR
from mmseg_mvp.models.utils import refined_logits, tiled_resize
from mmseg_mvp.models.utils.class_scores import ClassScores
from mmseg_mvp.models.utils.decision import Decision
from mmseg_mvp.models.utils.low_res_logits import LowResLogits
from mmseg_mvp.models.utils.reasons import reasons
from mmseg_mvp.models.utils.refined_logits import RefinedLogits
from mmseg_mvp.models.utils.tiled_resize import resize_matrices

COUNTS, SIZE = (2, 1, 3), (37, 52)  # words of three classes; pixels


def low_res(with_words, refined):
    """Logits of the words of three classes, or of six classes of one word; and all at full size."""
    torch.manual_seed(0)
    logits = 4 * torch.randn(6, 5, 7)
    rows, columns = resize_matrices(logits, SIZE, False)
    fields = dict(logits=logits, rows=rows, columns=columns)
    meta = dict(decision=Decision(COUNTS) if with_words else None)
    full = F.interpolate(logits[None], size=SIZE, mode='bilinear')[0]
    if not refined:
        return LowResLogits(**fields, metainfo=meta), full
    image, pamr = torch.rand(3, *SIZE), PAMR(2, (1, 3))
    return (RefinedLogits(**fields, image=image, metainfo=dict(meta, refinement=pamr)),
            pamr(full, pamr.weights(image)))


@pytest.fixture(params=['tiles', 'one tile', 'chunks', 'one chunk'])
def refined(request, monkeypatch):
    """Whether borders are refined; the sizes of tiles and chunks change nothing."""
    monkeypatch.setitem(tiled_resize.TILE_VALUES, 'cpu', 200 if request.param == 'tiles' else 2**20)
    monkeypatch.setitem(refined_logits.CHUNK_VALUES, 'cpu', 4 * 37 * 52 if request.param == 'chunks' else 2**24)
    return 'chunk' in request.param


@pytest.mark.parametrize('with_words', [False, True])
def test_best_places_and_maps(with_words, refined):
    logits, full = low_res(with_words, refined)
    groups = full.split(COUNTS if with_words else (1, ) * 6)
    classes = torch.stack([group.amax(0) for group in groups])  # (C, H, W)
    probabilities = (classes - full.logsumexp(0)).exp()
    scores = ClassScores(logits)
    assert torch.allclose(scores.highest, probabilities.amax(0), atol=1e-5)
    assert torch.equal(scores.leaders, probabilities.argmax(0))
    best, places = scores.best()
    assert torch.allclose(best, probabilities.flatten(1).amax(1), atol=1e-5)
    for label, (row, column) in enumerate(places.tolist()):
        assert probabilities[label, row, column] == pytest.approx(float(best[label]), abs=1e-5)
    for step in (1, 3, 8):
        chosen = [2, 0]
        assert torch.allclose(scores.maps(chosen, step), classes[chosen][:, ::step, ::step], atol=1e-4)


def rows_of(probabilities, labels, presence=None):
    """Reasons of an image of 1 x 3 pixels, with given probabilities (C, 3)."""
    logits = LowResLogits(logits=torch.tensor(probabilities).log()[:, None], rows=torch.eye(1), columns=torch.eye(3))
    return reasons(np.array([labels]), ['cat', 'dog', 'sky'], ClassScores(logits), presence)


def test_a_class_without_a_pixel_has_its_best_place_and_the_class_there():
    cat, dog, sky = rows_of([[.7, .5, .6], [.1, .4, .3], [.2, .1, .1]], [0, 0, 0], np.array([.9, .25, .5]))
    assert [one.name for one in (cat, dog, sky)] == ['cat', 'dog', 'sky'], 'by area, then by probability'
    assert cat.share == 1 and (cat.x, cat.y) == (0, 0) and cat.probability == pytest.approx(.7)
    assert (dog.share, dog.x, dog.y, dog.leader) == (0, 1, 0, 'cat') and dog.highest == pytest.approx(.5)
    assert str(dog) == "dog: no pixel, probability 0.400 at (1, 0), there 'cat' has 0.500, presence 0.25"
    assert str(cat) == 'cat: 100.0 % of the pixels, probability 0.700 at (0, 0), presence 0.90'
    assert sky.label == 2


def test_a_threshold_that_takes_all_pixels_is_named():
    _, cat, dog = rows_of([[.4, .3, .1], [.3, .3, .1], [.3, .4, .8]], [-1, -1, 2])
    assert str(cat) == 'cat: no pixel, probability 0.400 at (0, 0), removed by a threshold'
    assert "there 'cat' has 0.400" in str(dog) and dog.presence is None

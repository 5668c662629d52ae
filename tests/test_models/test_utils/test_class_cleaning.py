"""Prompt denoising and key smoothing of maps, against loops over positions."""
import math

import pytest
import torch

from mmseg_mvp.models.utils import class_cleaning
from mmseg_mvp.models.utils.class_cleaning import smoothed_by_keys, without_absent


def naive_smoothing(logits, keys, threshold):
    """Probabilities (S, h, w) of logits (S, h, w) and keys (K, h, w): the equation of the paper, with a sum of weights.

    Each key is normalised by itself; the official code divides by norms over the positions, and omits the sum.
    """
    height, width = logits.shape[1:]
    places = [(y, x) for y in range(height) for x in range(width)]
    old = {place: logits[(slice(None), *place)].softmax(0) for place in places}
    unit = {place: keys[(slice(None), *place)] / keys[(slice(None), *place)].norm() for place in places}
    new = torch.empty_like(logits)
    for one in places:
        mean, total = 0., 0.
        for other in places:
            weight = max(float(unit[one] @ unit[other]), 0.)
            mean, total = mean + weight * old[other], total + weight
        new[(slice(None), *one)] = mean / total if float(old[one].max()) < threshold else old[one]
    return new


@pytest.mark.parametrize('threshold', [0.5, 0.8, 1.])
def test_unsure_positions_get_the_weighted_mean(threshold, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    logits, keys = (torch.randn(2, size, 3, 4, generator=generator, dtype=torch.float32) for size in (5, 6))
    keys *= torch.rand(2, 1, 3, 4, generator=generator) + 0.1  # lengths of keys have no effect
    logits = 3 * logits
    expected = torch.stack([naive_smoothing(*one, threshold) for one in zip(logits, keys)])
    found = smoothed_by_keys(logits, keys, threshold)
    assert torch.allclose(found.exp(), expected, atol=1e-5)
    assert torch.allclose(found.exp().sum(dim=1), torch.ones(2, 3, 4), atol=1e-5)
    changed = (expected - logits.softmax(1)).abs().amax(1) > 1e-3
    assert changed.any() and (changed.all() if threshold == 1 else not changed.all())
    monkeypatch.setattr(class_cleaning, '_WEIGHTS', 30)  # two positions at a time
    assert torch.allclose(smoothed_by_keys(logits, keys, threshold), found, atol=1e-5)


def test_a_pixel_takes_the_class_of_its_like():
    """Two groups of orthogonal keys; in each, one unsure position joins the others."""
    keys = torch.tensor([[1., 0.], [2., 0.], [3., 0.], [0., 1.], [0., 5.]]).T.reshape(1, 2, 1, 5)
    sure = math.log(9)
    logits = torch.tensor([[sure, 0.], [sure, 0.], [0., 0.1], [0., sure], [0.1, 0.]]).T.reshape(1, 2, 1, 5)
    found = smoothed_by_keys(logits, keys, 0.8)
    assert found.argmax(dim=1).flatten().tolist() == [0, 0, 0, 1, 1]
    half = 1 / (1 + math.exp(0.1))
    assert found.exp()[0, 0, 0, 2] == pytest.approx((0.9 + 0.9 + half) / 3, abs=1e-6)
    assert found.exp()[0, 1, 0, 4] == pytest.approx((0.9 + half) / 2, abs=1e-6)


def test_absent_classes_are_dropped_by_image():
    """Class 0 has two words; a class stays if one of its words is probable at one position."""
    probable = torch.tensor([[0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.2, 0.6], [0.4, 0.3, 0.2, 0.1]])
    unsure = torch.tensor([[0.3, 0.3, 0.2, 0.2], [0.4, 0.2, 0.2, 0.2], [0.25, 0.25, 0.25, 0.25]])
    logits = torch.stack([probable, unsure]).log().transpose(1, 2).reshape(2, 4, 1, 3)
    found = without_absent(logits, [2, 1, 1], 0.5)
    assert found[0].softmax(0)[2].max() == 0 and torch.equal(found[0, [0, 1, 3]], logits[0, [0, 1, 3]])
    assert torch.equal(found[1], logits[1])  # no class is probable, and all would be dropped
    assert torch.equal(without_absent(logits, [2, 1, 1], 0.3)[1, :2], logits[1, :2])
    assert without_absent(logits, [2, 1, 1], 0.3)[1].softmax(0)[2:].max() == 0


def test_a_dropped_class_never_returns():
    logits = without_absent(torch.tensor([[[[5., 0.]], [[0., 5.]], [[1., 1.]]]]), [1, 1, 1], 0.5)
    found = smoothed_by_keys(logits, torch.ones(1, 4, 1, 2), 1.)
    assert torch.isfinite(found).all() and found.exp()[0, 2].max() < 1e-30
    assert torch.allclose(found.exp()[0, :2], torch.full((2, 1, 2), 0.5), atol=1e-6)
    assert torch.isfinite(smoothed_by_keys(logits.half(), torch.ones(1, 4, 1, 2).half(), 1.)).all()

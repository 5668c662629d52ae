"""PAMR against a loop over pixels and neighbours."""
import math

import pytest
import torch

from mmseg_mvp.models.modules.pamr import PAMR, build_refinement


def neighbours(y, x, height, width, dilations):
    """Positions around (y, x); those outside the image are moved to its border."""
    return [(min(max(y + d * dy, 0), height - 1), min(max(x + d * dx, 0), width - 1)) for d in dilations
            for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def naive_weights(image, y, x, places, dilations):
    """Softmax of the mean colour difference over 0.1 standard deviations; the pixel itself counts once per dilation."""
    scores = [0.] * len(places)
    for channel in image:
        own, near = channel[y][x], [channel[j][i] for j, i in places]
        values = near + [own] * len(dilations)
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
        scores = [score - abs(value - own) / (0.1 * deviation + 1e-8) / len(image)
                  for score, value in zip(scores, near)]
    total = sum(map(math.exp, scores))
    return [math.exp(score) / total for score in scores]


def naive(maps, image, iterations, dilations):
    maps, image = maps.tolist(), image.tolist()
    height, width = len(image[0]), len(image[0][0])
    places = {(y, x): neighbours(y, x, height, width, dilations) for y in range(height) for x in range(width)}
    weights = {(y, x): naive_weights(image, y, x, near, dilations) for (y, x), near in places.items()}
    for _ in range(iterations):
        maps = [[[sum(w * one[j][i] for w, (j, i) in zip(weights[y, x], places[y, x])) for x in range(width)]
                 for y in range(height)] for one in maps]
    return torch.tensor(maps, dtype=torch.float64)


def refined(pamr, maps, image):
    return pamr(maps, pamr.weights(image))


@pytest.mark.parametrize('size, iterations, dilations, channels', [
    ((7, 5), 3, (1, 2), 3), ((6, 8), 1, (3, ), 3), ((1, 9), 4, (1, 2), 3), ((5, 1), 2, (2, 1), 3),
    ((1, 1), 2, (8, ), 3),
    ((5, 6), 2, (8, 16), 3), ((4, 7), 2, (1, 3, 40), 1)])
def test_values_are_those_of_loops(size, iterations, dilations, channels):
    torch.manual_seed(0)
    maps, image = torch.randn(4, *size).double(), torch.randn(channels, *size).double()
    found = refined(PAMR(iterations, dilations), maps, image)
    assert torch.allclose(found, naive(maps, image, iterations, dilations), rtol=0, atol=1e-12)


def test_flat_colours_give_the_mean_of_the_neighbours():
    maps = torch.randn(2, 4, 5).double()
    found = refined(PAMR(2, (1, )), maps, torch.full((3, 4, 5), 0.7).double())
    assert torch.allclose(found, naive(maps, torch.zeros(1, 4, 5), 2, (1, )), atol=1e-12)


def test_maps_are_refined_linearly_and_a_constant_stays():
    torch.manual_seed(0)
    pamr, image = PAMR(4, (1, 3)), torch.randn(3, 9, 7).double()
    a, b = torch.randn(2, 3, 9, 7).double()
    mixed = refined(pamr, 2 * a - 5 * b + 3, image)
    assert torch.allclose(mixed, 2 * refined(pamr, a, image) - 5 * refined(pamr, b, image) + 3, atol=1e-11)
    assert torch.equal(refined(pamr, a[1:2], image), refined(pamr, a, image)[1:2])  # no class depends on another


def test_brightness_and_contrast_of_a_channel_change_nothing():
    torch.manual_seed(0)
    pamr, image, maps = PAMR(3, (1, 2)), torch.rand(3, 8, 9).double(), torch.randn(2, 8, 9).double()
    other = image * torch.tensor([255., 3., 40.])[:, None, None] - 100
    assert torch.allclose(refined(pamr, maps, image), refined(pamr, maps, other), atol=1e-5)


def test_a_border_moves_to_that_of_the_colours():
    """Two flat regions that meet at column 6; the map's border is two columns too far left."""
    image, maps = torch.zeros(3, 12, 12).double(), torch.zeros(1, 12, 12).double()
    image[:, :, 6:] = 1
    maps[:, :, 4:] = 1
    found = refined(PAMR(10, (1, 2)), maps, image)[0]
    assert (found[:, :6] < 0.5).all() and (found[:, 6:] > 0.99).all()


def test_the_settings_of_a_config():
    assert build_refinement(None) is None
    for setting in ('pamr', 'PAMR', dict(type='PAMR')):
        pamr = build_refinement(setting)
        assert (pamr.iterations, pamr.dilations) == (10, (8, 16)) and not pamr.state_dict()
    pamr = build_refinement(dict(type='PAMR', iterations=2, dilations=[1, 4]))
    assert (pamr.iterations, pamr.dilations) == (2, (1, 4))

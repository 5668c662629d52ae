"""Colours: all different, those of Okabe and Ito first, and apart for every kind of sight."""
import cv2
import numpy as np
import pytest

from mmseg_mvp.visualization import distinct_colours

# Machado, Oliveira, Fernandes (2009), severity 1, in linear RGB.
MACHADO = dict(
    protanopia=[[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    deuteranopia=[[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    tritanopia=[[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]])
# Viénot, Brettel, Mollon (1999): linear RGB to cones, and the lost cone as a sum of the others.
TO_CONES = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
WITHOUT = dict(protanopia=[[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]],
               deuteranopia=[[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
VIENOT = {name: np.linalg.inv(TO_CONES) @ loss @ TO_CONES for name, loss in WITHOUT.items()}


def nearest_pair(colours, matrix) -> float:
    """Least distance in CIELAB between colours (N, 3), for someone to whom linear RGB looks as `matrix` says."""
    rgb = colours / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055)**2.4)
    seen = np.clip(linear @ np.array(matrix).T, 0, 1)
    display = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen**(1 / 2.4) - 0.055)
    lab = cv2.cvtColor(display[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    return min(float(np.linalg.norm(one - other)) for place, one in enumerate(lab) for other in lab[:place])


def test_okabe_and_ito_come_first():
    assert distinct_colours(4).tolist() == [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66]]


@pytest.mark.parametrize('matrix', [np.eye(3), *MACHADO.values(), *VIENOT.values()],
                         ids=['full', *MACHADO, *(f'{name} after Vienot' for name in VIENOT)])
def test_the_first_twenty_are_apart_for_every_kind_of_sight(matrix):
    assert nearest_pair(distinct_colours(20), matrix) > 15


def test_thousands_differ_and_a_shorter_list_begins_a_longer_one():
    colours = distinct_colours(3000)
    assert colours.shape == (3000, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == 3000
    for count in (0, 1, 20, 171):
        assert np.array_equal(distinct_colours(count), colours[:count])


def test_beyond_the_grid_colours_repeat():
    assert distinct_colours(5000).shape == (5000, 3)


def test_no_colour_is_ink_paper_or_grey():
    lab = cv2.cvtColor((distinct_colours(1000)[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    assert lab[:, 0].min() > 24 and lab[:, 0].max() < 93 and np.hypot(lab[:, 1], lab[:, 2]).min() > 14


def test_who_changes_the_answer_changes_nobody_elses():
    distinct_colours(3)[:] = 0
    assert distinct_colours(3).any()

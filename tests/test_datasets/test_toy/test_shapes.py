"""Shapes of the toy world: parts and colours."""
import numpy as np
import pytest

from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.datasets.toy.shapes import OPTIONAL_PARTS, SHAPES, part_names

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def test_every_class_has_parts_to_colour():
    assert all(part_names(name) for name in SHAPES)
    assert part_names('house') == ['walls', 'roof', 'door']


def test_a_lost_part_is_neither_drawn_nor_told():
    things = [thing for index in range(300) for thing in draw_scene(index, 'train').objects]
    lost = [set(part_names(thing.name)) - {part for part, _ in thing.polygons} for thing in things]
    assert all(parts <= OPTIONAL_PARTS and len(parts) <= 1 for parts in lost)
    assert .2 < np.mean([len(parts) for parts in lost]) < .4
    assert all(not parts & set(thing.colours) for thing, parts in zip(things, lost))
    cars = [thing for thing in things if thing.name == 'car']
    without = [thing for thing in cars if 'wheels' not in thing.colours]
    assert {len(thing.polygons) for thing in cars if len(thing.colours) == 3} == {8}
    assert without and {len(thing.polygons) for thing in without} == {4}  # the hub caps went with the wheels

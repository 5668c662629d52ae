"""Parts of the shapes of the toy world."""
from mmseg_mvp.datasets.toy.shapes import SHAPES, part_names


def test_every_class_has_parts_to_colour():
    assert all(part_names(name) for name in SHAPES)
    assert part_names('house') == ['walls', 'roof', 'door']

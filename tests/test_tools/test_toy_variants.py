"""tools/toy/variants.py: the rows, the two figures of one training, and the strip."""
import numpy as np
import pytest
from fixtures.tools import load_tool

from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.visualization.legend import GAP


@pytest.fixture(scope='module')
def variants():
    return load_tool('toy/variants.py')


def test_each_variant_meets_each_method(variants):
    pairs = list(variants.ROWS.values())
    assert set(pairs) == {(variant, method) for variant in variants.VARIANTS for method in variants.METHODS}
    assert set(variants.STRIP) <= set(variants.VARIANTS)


@pytest.mark.slow
def test_refinement_reuses_the_trained_row_and_changes_its_figure(variants, tmp_path):
    row = f'vv, {variants.SENTENCES}'
    plain, refined = (variants.run(row, 0, flag, tmp_path) for flag in (0, 1))
    assert variants.trained.cache_info().misses == 1
    runner = variants.trained(row, 0, tmp_path)
    assert runner.model.backbone.dense == 'vv' and runner.model.refinement.dilations == (1, 2, 4, 8)
    assert refined['hIoU'] > plain['hIoU'] + 3 and refined['hIoU_val'] > plain['hIoU_val'] + 3


def test_pictures_of_the_strip_are_the_first_with_three_objects(variants, monkeypatch):
    truth = []

    class Oracle:
        def __init__(self, cfg, **kwargs):
            self.dense = cfg.model.backbone.dense

        def __call__(self, image):
            index = next(i for i in range(100) if np.array_equal(draw_scene(i, 'test').image, np.asarray(image)))
            truth.append(index)
            return type('Out', (), dict(label_map=draw_scene(index, 'test').labels))

    monkeypatch.setattr(variants, 'OpenVocabInferencer', Oracle)
    strip = variants.draw_strip()
    with_three = [i for i in range(100) if len(np.unique(draw_scene(i, 'test').labels)) == 4][:variants.SCENES]
    assert truth == [i for i in with_three for _ in range(2 * len(variants.STRIP))]
    assert strip.dtype == np.uint8 and strip.shape[0] > variants.SCENES * variants.SIDE
    # Each prediction is the truth, so all columns behind the image are equal.
    step = (strip.shape[1] - GAP) // (2 + 2 * len(variants.STRIP))
    panel = strip[30:100]
    assert all((panel[:, GAP + i * step:GAP + i * step + variants.SIDE]
                == panel[:, GAP + step:GAP + step + variants.SIDE]).all() for i in range(1, 8))

"""tools/toy/variants.py: the rows, the two figures of one training, and the strip."""
import numpy as np
import pytest
from fixtures.tools import load_tool

from mmseg_mvp.clip import VIT_VARIANTS
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.visualization.legend import GAP


@pytest.fixture(scope='module')
def variants():
    return load_tool('toy/variants.py')


def test_each_variant_meets_each_method(variants):
    pairs = list(variants.ROWS.values())
    assert set(pairs) == {(variant, method) for variant in variants.VARIANTS for method in variants.METHODS}
    assert set(variants.STRIP) <= set(variants.VARIANTS)
    named = {name for name, (clip, dense) in variants.VARIANTS.items() if clip == 'toy-vit'}
    assert named == {f'ViT {name}' for name in VIT_VARIANTS}
    assert len(variants.ROWS) == len(pairs) == len(variants.METHODS) * len(variants.VARIANTS)


def test_tables_hold_each_row_in_that_of_its_clip(variants):
    results = [dict(row=row, seed=0, refined=refined, hIoU=10. + refined, hIoU_val=20. + refined)
               for row in variants.ROWS for refined in (0, 1)]
    tables = variants.page_tables(results).split('**hIoU of ')[1:]
    titles = [f'the {kind} on `{split}`' for kind in ('ResNet', 'ViT') for split in ('val', 'test')]
    assert [table.split('**')[0] for table in tables] == titles
    for table, figures in zip(tables, ('20.0 | 21.0', '10.0 | 11.0') * 2):
        rows = [line for line in table.splitlines() if line.startswith('| ') and 'plain' not in line]
        assert len(rows) == sum((clip == 'toy-vit') == ('ViT' in table.split('**')[0])
                                for variant, _ in variants.ROWS.values() for clip in variants.VARIANTS[variant][:1])
        assert all(figures in row and row.startswith('| ViT') == ('ViT' in table.split('**')[0]) for row in rows)


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
    columns = [panel[:, GAP + i * step:GAP + i * step + variants.SIDE] for i in range(2 + 2 * len(variants.STRIP))]
    assert all(np.array_equal(column, columns[1]) for column in columns[1:])

"""tools/toy/examples.py: the runs, the drawn examples, the metrics and the tables."""
import numpy as np
import pytest
from fixtures.builders import ROOT
from fixtures.tools import load_tool
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene


@pytest.fixture(scope='module')
def examples():
    return load_tool('toy/examples.py')


def test_runs_are_paired(examples):
    jobs = examples.all_jobs([3, 4])
    assert len({tuple(job.items()) for job in jobs}) == len(jobs)
    for method in examples.METHODS:
        own = [job for job in jobs if job['row'].startswith(f'{method}, ')]
        assert sum(job['row'].endswith('words') for job in own) == 1
        pairs = [[(job['seed'], job['shots'], job['every']) for job in own
                  if job['row'] == f'{method}, {kind}' and job['weight'] == examples.CHOSEN]
                 for kind in ('examples', 'both')]
        assert sorted(pairs[0]) == sorted(pairs[1]) and len(pairs[0]) == 8


def test_examples_show_their_class_and_fewer_are_among_more(examples, monkeypatch):
    monkeypatch.setattr(examples, 'PICTURES', 150)
    examples.areas.cache_clear()
    one, five = (examples.drawn(7, shots) for shots in (1, 5))
    scenes = {draw_scene(index).image.tobytes(): draw_scene(index).labels for index in range(150)}
    for label, name in enumerate(CLASSES):
        assert (len(one[name]), len(five[name])) == (1, 5)
        for example in five[name]:
            labels = scenes[np.asarray(example.image).tobytes()]
            np.testing.assert_array_equal(example.mask, labels == label)
            assert example.mask.sum() >= examples.LEAST
    assert not np.array_equal(np.asarray(examples.drawn(8, 1)['house'][0].image), np.asarray(one['house'][0].image))
    examples.areas.cache_clear()
    examples.drawn.cache_clear()


def test_tables_subtract_words_run_by_run(examples):
    words = dict(row='MaskCLIP, words', seed=0, shots=0, every=0, weight=0, hIoU=50., hIoU_val=49., mIoU_U=40.)
    runs = [dict(words, row='MaskCLIP, both', seed=seed, shots=1, every=0, weight=50, hIoU=value)
            for seed, value in ((0, 51.), (1, 49.5), (2, 53.))]
    table = examples.page_tables([words, *runs])
    assert '| MaskCLIP, both | +1.2 (2 of 3) |' in table
    assert '| MaskCLIP, words | 49.0 |' in table


@pytest.mark.slow
def test_metrics_are_those_of_the_test_loop(examples, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, 'TESTED', 60)
    found = examples.run('MaskCLIP, words', 0, 0, 0, 0, tmp_path)
    cfg = Config.fromfile(ROOT / 'configs/maskclip/toy_zs.py')
    cfg.work_dir = str(tmp_path / 'run')
    cfg.val_dataloader.dataset.num_images = cfg.test_dataloader.dataset.num_images = 60
    runner = Runner.from_cfg(cfg)
    expected = dict(runner.test(), hIoU_val=runner.val()['hIoU'])
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=.05), name

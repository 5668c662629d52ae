"""tools/toy/few_shot.py: the drawn pictures, the labels of each method, the table and the curve."""
import numpy as np
import pytest
from fixtures.tools import load_tool
from mmengine.runner import Runner
from PIL import Image

from mmseg_mvp.app.adapting import default_steps
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.labels import IGNORE


@pytest.fixture(scope='module')
def few_shot():
    return load_tool('toy/few_shot.py')


def test_fewer_pictures_are_among_more_and_seeds_draw_others(few_shot, tmp_path):
    drawn = {(method, count, seed): few_shot.read_config(method, count, seed, tmp_path).train_dataloader.dataset.indices
             for method in few_shot.METHODS for count in (1, 20) for seed in (0, 1)}
    first, *others = few_shot.METHODS
    for count, seed in ((1, 0), (20, 0), (20, 1)):
        assert len(set(drawn[first, count, seed])) == count
        assert all(drawn[other, count, seed] == drawn[first, count, seed] for other in others)
    assert set(drawn[first, 1, 0]) < set(drawn[first, 20, 0]) and drawn[first, 20, 0] != drawn[first, 20, 1]


def test_prompts_take_the_steps_of_the_adaptation(few_shot, tmp_path):
    for count in few_shot.PICTURES:
        cfg = few_shot.read_config('MVP-SEG, k=3', count, 0, tmp_path)
        assert cfg.train_cfg.max_iters == default_steps(count)


@pytest.mark.slow
@pytest.mark.parametrize('method', ['MVP-SEG, k=1', 'student of the masks'])
def test_the_labels_of_training_are_the_masks(few_shot, tmp_path, method):
    cfg = few_shot.read_config(method, 5, 0, tmp_path)
    runner = Runner.from_cfg(cfg)
    scenes = [draw_scene(index).labels for index in cfg.train_dataloader.dataset.indices]
    for sample in (runner.train_dataloader.dataset[index] for index in range(5)):
        label = sample['data_samples'].gt_sem_seg.data
        if 'student' in method:
            label, _ = runner.model._fill(label)
        label = label[0].numpy()
        assert any(np.array_equal(label, labels) for labels in scenes) and (label == IGNORE).any()


def test_the_table_and_the_curve_hold_all_runs(few_shot, tmp_path):
    runs = [dict(row=few_shot.MASKCLIP, pictures=0, seed=0, mIoU=50., mIoU_val=51.)]
    runs += [dict(row=row, pictures=count, seed=seed, mIoU=60. + seed, mIoU_val=70.)
             for row in few_shot.METHODS for count in few_shot.PICTURES for seed in (0, 2)]
    table = few_shot.page_table(runs)
    assert table.count('| 61.0 ± 1.4 | 61.0 ± 1.4 | 61.0 ± 1.4 | 61.0 ± 1.4 |') == len(few_shot.METHODS)
    assert f'{few_shot.MASKCLIP}: 50.0 (`val`: 51.0).' in table
    few_shot.draw_curve(runs, tmp_path / 'curve.png')
    with Image.open(tmp_path / 'curve.png') as picture:
        assert np.asarray(picture.convert('RGB')).std() > 10

"""Command line arguments and --cfg-options."""
import argparse
from pathlib import Path

import pytest

from mmseg_mvp import app
from mmseg_mvp.errors import UserError

ROOT = Path(__file__).parents[2]


VOC = str(ROOT / 'configs/maskclip/voc_zs.py')


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    app.add_common_arguments(parser)
    return parser.parse_args(arguments)


def test_options_reach_the_config(tmp_path, monkeypatch):
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    cfg = app.load_config(parse(VOC, '--cfg-options', 'test_dataloader.batch_size=7', 'load_from=a.pth'))
    assert (cfg.test_dataloader.batch_size, cfg.load_from) == (7, 'a.pth')
    assert cfg.work_dir == './work_dirs/maskclip/voc_zs'
    assert app.load_config(parse(VOC, '--work-dir', str(tmp_path))).work_dir == str(tmp_path)
    wrapper = app.load_config(parse(VOC, '--cfg-options', 'model_wrapper_cfg.static_graph=True')).model_wrapper_cfg
    assert wrapper == dict(static_graph=True), 'mmengine reads it though no config of ours has it'


@pytest.mark.parametrize('text, value', [
    ('/my data/a b.pth', '/my data/a b.pth'), ('traffic light, red  house', ['traffic light', 'red  house']),
    ('( 64 , 64 )', (64, 64)), ('"[a b, (1, c d)]"', ['a b', (1, 'c d')]), (' 1e-3 ', 1e-3),
    ('[猫，犬、a b]', ['猫', '犬', 'a b']), ('a，b', 'a，b'), ('None', None), ('', '')])
def test_blanks_in_options_stay(text, value):
    """mmengine's own action makes /mydata/ab.pth of the first."""
    assert parse(VOC, '--cfg-options', f'load_from={text}').cfg_options == dict(load_from=value)


@pytest.mark.parametrize('option, named', [
    ('batch_size', 'KEY=VALUE'), ('a=[(1,2]', 'KEY=VALUE'), ('optim_wraper.lr=1', 'optim_wraper'),
    ('test_dataloader.batch_size.x=1', 'test_dataloader.batch_size.x'),
])
def test_nonsense_options_are_named(option, named):
    with pytest.raises(UserError) as caught:
        app.load_config(parse(VOC, '--cfg-options', option))
    assert named in str(caught.value) and '\n' not in str(caught.value)


def test_limit_of_image_size_reaches_every_pipeline(tmp_path):
    cfg = app.load_config(parse(VOC, '--max-pixels', '77'))
    pipelines = [cfg.test_dataloader.dataset.pipeline, cfg.val_dataloader.dataset.pipeline, cfg.tta_pipeline]
    assert [steps[0].max_pixels for steps in pipelines] == [77] * 3
    assert 'max_pixels' not in app.load_config(parse(VOC)).test_dataloader.dataset.pipeline[0]


def test_former_settings_of_mmseg_end_in_one_sentence(tmp_path):
    config = tmp_path / 'old.py'
    config.write_text('data = dict(samples_per_gpu=4)\n')
    with pytest.raises(UserError, match='old.py has settings of MMSegmentation 0.x.*train_dataloader.batch_size'):
        app.load_config(parse(str(config)))


def test_data_check_is_on_by_default():
    assert [parse(VOC, *flags).skip_data_check for flags in ([], ['--skip-data-check'])] == [False, True]

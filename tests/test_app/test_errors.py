"""A user's mistake ends in one sentence and a non-zero exit code, a defect in a traceback."""
import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import Registry
from torch.utils.data import DataLoader, Dataset

from mmseg_mvp import app
from mmseg_mvp.errors import UserError

ROOT = Path(__file__).parents[2]
VOC = str(ROOT / 'configs/maskclip/voc_zs.py')
TOY = str(ROOT / 'configs/mvp_seg/toy_zs.py')


class BrokenDataset(Dataset):
    """Raises in the worker process."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        raise UserError('image a.png is unreadable.\nExpected:\na: tree')


def exit_sentence(capsys, error: Exception) -> str:
    with pytest.raises(SystemExit) as caught, app.user_errors():
        raise error
    assert caught.value.code == 2
    return capsys.readouterr().err


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    app.add_common_arguments(parser)
    return parser.parse_args(arguments)


def test_user_error_is_printed_alone(capsys):
    assert exit_sentence(capsys, UserError('name it.')) == 'error: name it.\n'


def test_user_error_of_a_data_loader_worker_loses_its_traceback(capsys):
    with pytest.raises(UserError) as caught:
        next(iter(DataLoader(BrokenDataset(), num_workers=1)))
    assert 'Traceback' in str(caught.value), 'torch wraps the text: what this test is about'
    assert exit_sentence(capsys, caught.value) == 'error: image a.png is unreadable.\nExpected:\na: tree\n'


def test_full_disk_is_told_whoever_meets_it(capsys):
    with pytest.raises(OSError) as caught, open('/dev/full', 'w') as log:
        log.write('loss: 1')
    assert re.fullmatch(r'error: the disk is full \(OSError: .* No space left on device\): free disk space.*--resume\n',
                        exit_sentence(capsys, caught.value))


@pytest.mark.parametrize('cfg, named', [(dict(type='Nobody'), 'Nobody'), (dict(type='Pair', third=3), 'third')])
def test_config_that_does_not_fit_a_component_is_the_users(capsys, cfg, named):
    registry = Registry('things')
    registry.register_module('Pair', module=lambda first=1, second=2: None)
    with pytest.raises((KeyError, TypeError)) as caught:
        registry.build(cfg)
    sentence = exit_sentence(capsys, caught.value)
    assert sentence.startswith('error: the config does not fit') and named in sentence and sentence.count('\n') == 1


@pytest.mark.parametrize('error', [TypeError('a defect'), KeyError('a defect'), RuntimeError('a defect')])
def test_defects_keep_their_traceback(error):
    with pytest.raises(type(error), match='a defect'), app.user_errors():
        raise error


def test_defect_inside_a_built_component_keeps_its_traceback():
    def broken():
        return {}['a defect']

    registry = Registry('things')
    registry.register_module('Broken', module=broken)
    with pytest.raises(KeyError, match='a defect'), app.user_errors():
        registry.build(dict(type='Broken'))


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
    ('( 64 , 64 )', (64, 64)), ('"[a b, (1, c d)]"', ['a b', (1, 'c d')]), (' 1e-3 ', 1e-3), ('None', None), ('', '')])
def test_blanks_in_options_stay(text, value):
    """mmengine's own action makes /mydata/ab.pth of the first."""
    assert parse(VOC, '--cfg-options', f'load_from={text}').cfg_options == dict(load_from=value)


def test_load_from_must_be_there(tmp_path):
    cfg = app.load_config(parse(TOY, '--cfg-options', f'load_from={tmp_path}/a b.pth'))
    with pytest.raises(UserError, match='load_from .*/a b.pth does not exist'):
        app.build_runner(cfg, ['train_dataloader'])


@pytest.mark.parametrize('option, named', [
    ('batch_size', 'KEY=VALUE'), ('a=[(1,2]', 'KEY=VALUE'), ('optim_wraper.lr=1', 'optim_wraper'),
    ('test_dataloader.batch_size.x=1', 'test_dataloader.batch_size.x'),
])
def test_nonsense_options_are_named(option, named):
    with pytest.raises(UserError) as caught:
        app.load_config(parse(VOC, '--cfg-options', option))
    assert named in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('text, named', [
    (None, 'does not exist'), ('model = dict(', 'SyntaxError'), ("_base_ = './nobody.py'", 'nobody.py'),
    ("custom_imports = dict(imports=['nobody_there'])", "No module named 'nobody_there'"),
])
def test_unreadable_config_is_named(tmp_path, text, named):
    config = tmp_path / 'config.py'
    if text is not None:
        config.write_text(text)
    with pytest.raises(UserError) as caught:
        app.load_config(parse(str(config)))
    assert str(config) in str(caught.value) and named in str(caught.value) and '\n' not in str(caught.value)


def test_checkpoint_must_be_there_and_whole(tmp_path):
    whole, half = tmp_path / 'whole.pth', tmp_path / 'half.pth'
    torch.save({'state_dict': {'a': torch.zeros(1000)}}, whole)
    half.write_bytes(whole.read_bytes()[:2000])
    app.check_checkpoint(str(whole))
    with pytest.raises(UserError, match=r'half.pth \(2000 bytes\) is truncated'):
        app.check_checkpoint(str(half))
    with pytest.raises(UserError, match='gone.pth does not exist'):
        app.check_checkpoint(str(tmp_path / 'gone.pth'))


def test_result_folder_must_be_new(tmp_path):
    app.check_new_folder(str(tmp_path / 'new'), '--out')
    app.check_new_folder(str(tmp_path), '--out')
    (tmp_path / 'result.png').touch()
    with pytest.raises(UserError, match='--out .* not an empty folder'):
        app.check_new_folder(str(tmp_path), '--out')


def test_evaluators_are_listed_however_the_config_gives_them():
    one = dict(type='IoUMetric')
    assert app.evaluators(Config(dict(test_evaluator=one))) == [one]
    assert app.evaluators(Config(dict(test_evaluator=[one, one]))) == [one, one]
    assert app.evaluators(Config(dict(test_evaluator=None))) == []


def run(tool: str, *arguments: str, cwd: Path, python=(sys.executable,)) -> subprocess.CompletedProcess:
    return subprocess.run([*python, str(ROOT / 'tools' / tool), *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize('tool, arguments, expected', [
    ('train.py', ['nobody.py'], 'config nobody.py does not exist'),
    ('test.py', [VOC, 'gone.pth'], 'checkpoint gone.pth does not exist'),
    ('test.py', [VOC], "data root 'data/VOCdevkit/VOC2012'"),
    ('test.py', [VOC, '--out', '.'], '--out . exists and is not an empty folder'),
    ('test.py', [VOC, '--show-dir', '.'], '--show-dir . exists and is not an empty folder'),
])
def test_tools_say_it_in_one_sentence_and_write_nothing(tmp_path, tool, arguments, expected):
    (tmp_path / 'earlier.txt').write_text('kept')
    done = run(tool, *arguments, cwd=tmp_path)
    sentence = done.stderr[done.stderr.index('error: '):]
    assert done.returncode == 2
    assert expected in sentence and 'Traceback' not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['earlier.txt']


@pytest.mark.slow
@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_tools_without_the_install_say_how_to_install(tmp_path, tool):
    """-S leaves site-packages out, which is a checkout where nothing was installed."""
    done = run(tool, VOC, cwd=tmp_path, python=(sys.executable, '-S', '-E'))
    assert done.returncode != 0 and 'Traceback' not in done.stderr
    assert "No module named 'mmseg_mvp'; in the checkout, run: pip install -e" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_shell_scripts_hand_their_arguments_on(tmp_path, script):
    """With torchrun and srun replaced by echo: the tool, the launcher and the user's arguments arrive, one each."""
    for command in ('torchrun', 'srun'):
        fake = tmp_path / command
        fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        fake.chmod(0o755)
    kind, name = script.removesuffix('.sh').split('_')
    head = ['part', 'job'] if kind == 'slurm' else []
    tail = ['config.py'] + ['model.pth'] * (name == 'test') + ['2'] * (kind == 'dist')
    done = subprocess.run(['bash', str(ROOT / 'tools' / script), *head, *tail, '--work-dir', 'a folder'], text=True,
                          env={'PATH': f'{tmp_path}:{Path(shutil.which("bash")).parent}'}, capture_output=True)
    words = done.stdout.splitlines()
    at = words.index(str(ROOT / 'tools' / f'{name}.py'))
    launcher = {'dist': 'pytorch', 'slurm': 'slurm'}[kind]
    learned = ['model.pth'] * (name == 'test')
    assert words[at + 1:] == ['config.py', *learned, '--launcher', launcher, '--work-dir', 'a folder']
    assert subprocess.run(['bash', str(ROOT / 'tools' / script)], capture_output=True).returncode == 2

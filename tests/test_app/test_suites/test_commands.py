"""The command lines of a job, and the message of one that fails. Processes are small scripts here."""
import os
import sys
from pathlib import Path

import pytest
import torch
from fixtures.suites import jobs_of

from mmseg_mvp.app import OptionsAction
from mmseg_mvp.app.suites import commands
from mmseg_mvp.app.suites.commands import Commands, as_text, last_checkpoint
from mmseg_mvp.errors import UserError

TOOL = '''
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
if '--record' in arguments:
    content = dict(metrics=dict(hIoU=1.), classes=[], seconds=2., words=arguments, fold=os.environ.get('FOLD'),
                   gpus=os.environ.get('CUDA_VISIBLE_DEVICES'))
    Path(arguments[arguments.index('--record') + 1]).write_text(json.dumps(content))
else:
    import torch
    folder = Path(arguments[arguments.index('--work-dir') + 1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(dict(words=arguments), folder / 'iter_2.pth')
    (folder / 'last_checkpoint').write_text(str(folder / 'iter_2.pth'))
'''


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout whose tools write down their command lines."""
    (tmp_path / 'tools').mkdir()
    for name in ('train', 'test'):
        (tmp_path / f'tools/{name}.py').write_text(TOOL)
    monkeypatch.setattr(commands, 'ROOT', tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_row_is_trained_and_its_last_checkpoint_tested(root):
    teacher, student = jobs_of(root, dict(name='t', config=str(root / 'a.py'), checkpoint='t.pth'), dict(
        name='s', config=str(root / 'b.py'), train=True, seeds=[4], env={'FOLD': 2}, needs={'model.teacher': 'mine/t'},
        options={'model.x': 'a b', 'model.y': [1, 2]}))
    pids = []
    found = Commands({'model.z': (1, 2)}, skip_data_check=True).run(student, '3', pids.append)
    train = torch.load(student.train_dir / 'iter_2.pth', weights_only=True)['words']
    options = ['--skip-data-check', '--cfg-options', 'model.x=a b', 'model.y=[1,2]', 'randomness.seed=4',
               'model.teacher=t.pth', 'model.z=(1,2)']
    assert train == [str(root / 'b.py'), '--work-dir', str(student.train_dir), '--resume', *options]
    assert found['words'] == [str(root / 'b.py'), str(student.train_dir / 'iter_2.pth'), '--work-dir',
                              str(student.folder / 'test'), '--record', str(student.folder / 'record.json'), *options]
    assert (found['fold'], found['gpus'], len(pids)) == ('2', '3', 2)
    assert found['seconds'].keys() == {'train', 'test'} and found['processes'] == 1
    assert f'$ {sys.executable}' in (student.folder / 'log.txt').read_text()
    found = Commands({}).run(teacher, '', pids.append)
    assert found['words'][:2] == [str(root / 'a.py'), 't.pth'] and '--cfg-options' not in found['words']


@pytest.mark.slow
def test_rows_of_a_frozen_clip_share_a_feature_bank(root):
    (root / 'clip.py').write_text("model = dict(clip=dict(model='RN50'), backbone=dict(type='CLIPImageEncoder'))")
    (root / 'student.py').write_text("model = dict(backbone=dict(type='ResNetV1c'))")
    jobs = jobs_of(root, *(dict(name=name, config=str(root / f'{name}.py')) for name in ('clip', 'student')))
    clip, student = (Commands({}, feature_bank=root / 'banks').run(job, '', lambda pid: None)['words'] for job in jobs)
    assert Path(clip[clip.index('--feature-bank') + 1]).parent == root / 'banks'
    assert '--feature-bank' not in student


@pytest.mark.slow
@pytest.mark.parametrize('code, message', [
    ('import sys; print("error: the disk is full"); sys.exit(2)', '^the disk is full$'),
    ('print("error: No space left on device"); raise SystemExit(2)', '^the disk of .*work.mine.a is full: free disk'),
    ('raise KeyError("x")', r"ended with code 1 \(KeyError: 'x'\): read .*log.txt"),
    ('import os; os.kill(os.getpid(), 9)', r'signal 9 ended the process \(no message\)')])
def test_the_message_of_a_failed_command_is_that_of_this_run(root, code, message):
    (root / 'tools/test.py').write_text(code)
    job, = jobs_of(root, dict(name='a', config='a.py'))
    job.folder.mkdir(parents=True)
    (job.folder / 'log.txt').write_text('error: an old one\n')
    with pytest.raises(UserError, match=message):
        Commands({}).run(job, '', lambda pid: None)


@pytest.mark.slow
def test_a_command_whose_last_words_do_not_fit_met_a_full_disk(root, monkeypatch):
    (root / 'tools/test.py').write_text('print("[1/2] half a line", end=""); raise SystemExit(1)')
    job, = jobs_of(root, dict(name='a', config='a.py'))
    monkeypatch.setattr(commands.tempfile, 'TemporaryFile', lambda dir: open('/dev/full', 'wb'))
    with pytest.raises(UserError, match='^the disk of .* is full: .*finished rows are kept$'):
        Commands({}).run(job, '', lambda pid: None)


@pytest.mark.slow
def test_a_test_without_masks_is_not_a_result(root):
    (root / 'tools/test.py').write_text(TOOL.replace('dict(hIoU=1.)', '{}'))
    job, = jobs_of(root, dict(name='a', config='a.py'))
    with pytest.raises(UserError, match='mine/a scored nothing'):
        Commands({}).run(job, '', lambda pid: None)


@pytest.mark.slow
def test_a_script_gets_its_folders_and_its_runs_are_kept(root):
    (root / 'tools/toy').mkdir()
    (root / 'tools/toy/study.py').write_text(
        'import sys, pathlib; work, docs = sys.argv[2::2]; assert sys.argv[1::2] == ["--work-dir", "--docs"]\n'
        'pathlib.Path(docs, "toy_study.csv").write_text("row,hIoU\\na,50.5\\n"); print(work)')
    (root / 'docs').mkdir()
    job, = jobs_of(root, dict(name='a', script='tools/toy/study.py'))
    found = Commands({}, docs=root / 'docs').run(job, '', lambda pid: None)
    assert found['runs'] == [dict(row='a', hIoU='50.5')] and found['seconds'].keys() == {'script'}
    assert str(job.folder / 'runs') in (job.folder / 'log.txt').read_text()


def test_a_checkpoint_that_is_gone_is_named(tmp_path):
    job, = jobs_of(tmp_path, dict(name='a', config='a.py', train=True))
    with pytest.raises(UserError, match='checkpoint of mine/a is gone'):
        last_checkpoint(job)


@pytest.mark.parametrize('value', [1, 1.5, True, None, 'a b', [1, 2], (64, 32), ['a', 'b c'], [(1, 2), (3, 4)]])
def test_settings_are_read_as_they_were_written(value):
    import argparse
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction)
    assert parser.parse_args(['--cfg-options', f'a={as_text(value)}']).cfg_options == {'a': value}


def test_the_environment_of_this_process_stays(root):
    before = dict(os.environ)
    job, = jobs_of(root, dict(name='a', config='a.py', env={'FOLD': 1}))
    assert job.row.env == {'FOLD': '1'} and dict(os.environ) == before

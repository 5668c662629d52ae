"""tools/benchmark.py: what it says before it starts, and rows of the toy world from end to end, killed and resumed."""
import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures.suites import jobs_of, made, write_suite
from fixtures.tools import TOOLS, load_tool

from mmseg_mvp.errors import UserError

TOY = dict(name='toy', config='configs/maskclip/toy_zs.py')
FEW = {'val_dataloader.dataset.indices': 4, 'test_dataloader.dataset.indices': 8, 'train_dataloader.num_workers': 0,
       'train_dataloader.persistent_workers': False, 'default_hooks.checkpoint.interval': 1}


@pytest.fixture
def benchmark(monkeypatch):
    tool = load_tool('benchmark.py')
    monkeypatch.setattr(tool.torch.cuda, 'device_count', lambda: 0)
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    return tool


@pytest.mark.parametrize('count, visible, jobs, per_row, expected', [
    (0, None, None, 1, ['']), (0, None, 3, 2, ['', '', '']), (4, None, None, 1, ['0', '1', '2', '3']),
    (4, None, None, 2, ['0,1', '2,3']), (5, None, None, 2, ['0,1', '2,3']), (2, '5,GPU-ab', None, 1, ['5', 'GPU-ab']),
    (2, None, 3, 1, ['0', '1', '0']), (4, None, 1, 2, ['0,1'])])
def test_gpus_are_shared_among_the_rows(benchmark, monkeypatch, count, visible, jobs, per_row, expected):
    monkeypatch.setattr(benchmark.torch.cuda, 'device_count', lambda: count)
    if visible:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert benchmark.slots(jobs, per_row) == expected


def test_wrong_numbers_are_refused(benchmark, monkeypatch):
    for arguments, message in (((0, 1), '--jobs is 0'), ((None, 0), '--gpus-per-row is 0')):
        with pytest.raises(UserError, match=message):
            benchmark.slots(*arguments)
    monkeypatch.setattr(benchmark.torch.cuda, 'device_count', lambda: 1)
    with pytest.raises(UserError, match='this machine shows 1'):
        benchmark.slots(None, 2)


def arguments(benchmark, monkeypatch, *words) -> argparse.Namespace:
    monkeypatch.setattr('sys.argv', ['benchmark.py', *map(str, words)])
    return benchmark.parse_args()


def test_list_shows_states_and_all_that_is_missing(benchmark, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [TOY, dict(TOY, name='old'), dict(TOY, name='run'), dict(name='voc', config='configs/maskclip/voc_zs.py'),
            dict(name='gone', config='configs/gone.py'), dict(TOY, name='begun')]
    jobs = jobs_of(tmp_path, *rows)
    made(jobs[0], dict(mIoU=1.))
    content = made(jobs[1], dict(mIoU=1.))
    jobs[1].result.write_text(json.dumps(dict(content, versions=dict(content['versions'], torch='0.1'))))
    jobs[2].lock.write_text(json.dumps(dict(host=socket.gethostname(), pids=[os.getpid()])))
    jobs[5].folder.mkdir()
    path = write_suite(tmp_path, *rows)
    assert benchmark.benchmark(arguments(benchmark, monkeypatch, path, '--work-dir', tmp_path / 'work', '--list')) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith('toy_zs.py: done') and 'done, but of torch 0.1 (here' in lines[1]
    assert f'running, [{os.getpid()}] on {socket.gethostname()}' in lines[2] and lines[5].endswith('begun')
    text = '\n'.join(lines[6:])
    assert 'missing for mine/voc: The data root' in text and 'Expected:' in text
    assert 'missing for mine/gone: config ' in text and 'RN50-quickgelu with weights openai' in text


def test_results_of_other_versions_are_kept_and_told_or_redone(benchmark, tmp_path, capsys):
    jobs = jobs_of(tmp_path, TOY, dict(TOY, name='same'))
    for job in jobs:
        made(job, dict(mIoU=1.))
    jobs[0].result.write_text(jobs[0].result.read_text().replace('"commit": "', '"commit": "f00'))
    before = jobs[0].result.read_text()
    benchmark.tell_others(jobs, {}, redo=False)
    printed = capsys.readouterr().out
    assert printed.startswith('1 results in ') and 'commit f00' in printed and printed.count('\n') == 1
    assert 'add --redo to run these rows again' in printed and jobs[0].result.read_text() == before
    assert benchmark.tell_others(jobs, {}, redo=True) == jobs[:1] and benchmark.tell_others(jobs, {}, redo=False) == []


@pytest.mark.parametrize('starts', [True, False])
def test_a_former_result_is_moved_aside_only_if_its_row_can_start(benchmark, monkeypatch, tmp_path, starts):
    row = dict(TOY, config=TOY['config'] if starts else 'configs/gone.py')
    job, = jobs_of(tmp_path, row)
    made(job, dict(mIoU=1.))
    job.result.write_text(job.result.read_text().replace('"commit": "', '"commit": "f00'))
    before = job.result.read_text()
    monkeypatch.setattr(benchmark.Commands, 'run', lambda *_: dict(metrics=dict(mIoU=2.), classes=[], seconds={}))
    words = write_suite(tmp_path, row), '--work-dir', tmp_path / 'work', '--docs', tmp_path / 'docs', '--redo'
    assert benchmark.benchmark(arguments(benchmark, monkeypatch, *words)) == (0 if starts else 2)
    former = Path(f'{job.result}.former1')
    assert former.read_text() == before if starts else not former.exists() and job.result.read_text() == before
    assert json.loads(job.result.read_text())['metrics'] == dict(mIoU=2. if starts else 1.)


def run(*words, cwd, **kwargs):
    return subprocess.Popen([sys.executable, str(TOOLS / 'benchmark.py'), *map(str, words)], cwd=cwd, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)


@pytest.mark.slow
def test_an_unknown_suite_ends_with_one_sentence(tmp_path):
    process = run('trainingfree', cwd=tmp_path)
    _, errors = process.communicate()
    assert "error: There is no suite 'trainingfree': did you mean 'training-free'?" in errors
    assert process.returncode == 2
    assert 'Traceback' not in errors and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_rows_are_trained_and_tested_killed_and_resumed(tmp_path):
    """The first command is killed in the training of its second row, and the second goes on from its checkpoint."""
    rows = [dict(TOY, options={'test_dataloader.dataset.indices': 8}),
            dict(name='prompts', config='configs/mvp_seg/toy_zs.py', train=True, seeds=[1],
                 options={'train_cfg.max_iters': 20000, 'train_cfg.val_interval': 20000, **FEW}),
            dict(name='gone', config='configs/gone.py')]
    suite, work = write_suite(tmp_path, *rows), tmp_path / 'work'
    words = [suite, '--work-dir', work, '--docs', tmp_path / 'docs', '--export', 'html']
    training = work / 'mine/prompts_seed1/train'
    first = run(*words, cwd=tmp_path)
    while not list(training.glob('iter_*.pth')):
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    lock = json.loads((work / 'mine/prompts_seed1.lock').read_text())
    second = run(*words, cwd=tmp_path)  # beside the first
    printed, errors = second.communicate()
    assert second.returncode == 2 and 'mine/gone: config ' in errors  # only the row that can't start failed
    assert f'mine/prompts_seed1 is omitted, because process {first.pid} on {socket.gethostname()} runs it' in printed
    first.kill()  # its training goes on and is killed, too
    first.communicate()
    os.kill(lock['pids'][1], signal.SIGKILL)
    done = json.loads((work / 'mine/toy.json').read_text())
    assert (work / 'mine/prompts_seed1.lock').exists() and not (work / 'mine/prompts_seed1.json').exists()
    reached = max(int(path.stem[5:]) for path in training.glob('iter_*.pth'))

    # The same rows, with a schedule that ends soon.
    rows[1]['options'].update({'train_cfg.max_iters': reached + 2, 'train_cfg.val_interval': reached + 2})
    write_suite(tmp_path, *rows)
    third = run(*words, cwd=tmp_path)
    printed, errors = third.communicate()
    assert third.returncode == 2 and errors.splitlines()[-1].startswith('error: mine/gone: config '), errors[-3000:]
    assert f'resumed epoch: 0, iter: {reached}' in (work / 'mine/prompts_seed1/log.txt').read_text()
    result = json.loads((work / 'mine/prompts_seed1.json').read_text())
    assert len(result['sessions']) == 2 and result['seed'] == 1 and len(result['classes']) == 20
    assert result['clip']['fingerprint'] == done['clip']['fingerprint']
    assert result['tested_checkpoint'].endswith(f'iter_{reached + 2}.pth')
    tested = next(iter((work / 'mine/prompts_seed1/test').glob('*/*.json')))
    assert json.loads(tested.read_text())['hIoU'] == pytest.approx(result['metrics']['hIoU'], abs=0.01)
    assert json.loads((work / 'mine/toy.json').read_text()) == done and '| prompts_seed1 |' in printed
    assert not list(work.rglob('*.lock')) and 'prompts_seed1' in (work / 'mine.html').read_text()

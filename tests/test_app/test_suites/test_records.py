"""Results hold all that the figures depend on, are whole or absent, and tell where they were made."""
import json
import os
import resource
import subprocess

import numpy
import pytest
import torch
from fixtures.suites import jobs_of, made

from mmseg_mvp.app.suites import records
from mmseg_mvp.errors import UserError


@pytest.fixture
def job(tmp_path):
    return jobs_of(tmp_path, dict(name='a', config='a.py', train=True, seeds=[3], options={'model.x': [1, 2]}))[0]


def test_a_result_has_settings_commit_versions_and_figures(job):
    records.begin_session(job)
    found = made(job, dict(hIoU=12.5), clip=dict(fingerprint='f'), peak_memory_mib=9)
    commit = subprocess.run(['git', '-C', str(records.ROOT), 'rev-parse', 'HEAD'], capture_output=True, text=True)
    assert found['commit'].removesuffix('-changed') == commit.stdout.strip()
    assert found['versions']['torch'].partition('+')[0] == torch.__version__.partition('+')[0]
    assert found['versions']['numpy'] == numpy.__version__
    assert (found['suite'], found['row'], found['seed'], found['config']) == ('mine', 'a', 3, 'a.py')
    assert found['options'] == {'model.x': [1, 2]} and found['metrics'] == dict(hIoU=12.5)
    assert found['clip'] == dict(fingerprint='f') and found['sessions'][0]['commit'] == found['commit']
    assert records.differences(records.read_result(job), job, {}) == ''


def test_a_result_of_other_versions_settings_or_commits_is_told(job):
    made(job, dict(hIoU=1.))
    content = json.loads(job.result.read_text())
    here = content['versions']['torch']
    content['versions'] = dict(content['versions'], torch='0.1', old='7')
    content['sessions'] = [dict(commit='0123456789abcdef', versions={})]
    job.result.write_text(json.dumps(content))
    found = records.differences(records.read_result(job), job, {'model.y': 1})
    assert f'torch 0.1 (here {here})' in found and 'old 7 (here none)' in found and 'commit 012345678 (here' in found
    assert "options {'model.x': [1, 2]} (now {'model.x': [1, 2], 'model.y': 1})" in found


@pytest.mark.parametrize('changed', [
    dict(versions=[]), dict(metrics=[]), dict(metrics=dict(mIoU='high')), dict(commit=None), dict(sessions=3),
    dict(sessions=[{}]), dict(seconds=None), dict(seconds=dict(test=None)), dict(classes=None), dict(classes=['sky']),
    dict(config=None), dict(host=None), dict(finished=1), dict(options=[])], ids=str)
def test_a_changed_result_is_refused(changed, job):
    content = made(job, dict(hIoU=1., mIoU=None))
    assert records.read_result(job) == content
    for broken in (dict(content, **changed), {key: value for key, value in content.items() if key not in changed}):
        job.result.write_text(json.dumps(broken))
        with pytest.raises(UserError, match='a_seed3.json is not a result .*move it away'):
            records.read_result(job)


def test_a_result_that_is_moved_aside_stays(job):
    first = made(job, dict(hIoU=1.))
    (job.folder / 'log.txt').write_text('first')
    records.set_aside(job)
    made(job, dict(hIoU=2.))
    records.set_aside(job)
    assert records.read_result(job) is None
    folder = job.result.parent
    assert json.loads((folder / 'a_seed3.json.former1').read_text()) == first
    assert (folder / 'a_seed3.former1/log.txt').read_text() == 'first' and (folder / 'a_seed3.former2').is_dir()
    assert not list(folder.glob('*.json'))


@pytest.mark.parametrize('text', ['', '{', '[]', '{"suite": "mine"}', 'null'])
def test_a_file_that_is_not_a_result_is_refused(text, job):
    job.result.parent.mkdir(parents=True)
    job.result.write_text(text)
    with pytest.raises(UserError, match='a_seed3.json .*move it away'):
        records.read_result(job)


@pytest.mark.slow
def test_a_full_disk_leaves_finished_results_intact(job):
    """In a process of its own, whose files can't grow."""
    before = made(job, dict(hIoU=1.))
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            records.write_result(job, {}, dict(metrics=dict(hIoU=2.)))
        except UserError as error:
            os._exit(7 if 'free disk space' in str(error) and 'finished rows are kept' in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert json.loads(job.result.read_text()) == before
    assert [path.name for path in job.result.parent.iterdir() if path.is_file()] == [job.result.name]


def test_without_git_the_commit_is_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(records, 'ROOT', tmp_path)
    assert records.environment.__wrapped__()['commit'].startswith('package 0.')

"""Jobs run once each, in an order that works, side by side; a failed one stops no other. Their commands are fake."""
import json
import threading
import time

import pytest
from fixtures.suites import jobs_of, made

from mmseg_mvp.app.suites import runs
from mmseg_mvp.app.suites.locks import Lock
from mmseg_mvp.app.suites.records import read_result
from mmseg_mvp.errors import UserError


class Fake:
    """Commands that note what runs, and fail for rows in ``failing``."""
    options: dict = {}

    def __init__(self, seconds=0., failing=()):
        self.seconds, self.failing, self.ran, self.gpus, self.most = seconds, failing, [], [], 0
        self.active, self.stopped, self.mutex = 0, threading.Event(), threading.Lock()

    def log(self, job):
        return job.folder / 'log.txt'

    def stop(self):
        self.stopped.set()

    def run(self, job, gpus, started):
        assert all(need.result.exists() for need in job.needs.values()) and job.lock.exists()
        started(1)
        with self.mutex:
            self.ran.append(job.name)
            self.gpus.append(gpus)
            self.active += 1
            self.most = max(self.most, self.active)
        self.stopped.wait(self.seconds)
        with self.mutex:
            self.active -= 1
        if job.row.name in self.failing:
            raise self.failing[job.row.name]
        return dict(metrics=dict(hIoU=50.), classes=[], seconds=dict(test=1.))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(runs, 'POLL', 0.02)


def row(name, *needs):
    return dict(name=name, config='a.py', needs={f'x{i}': f'mine/{need}' for i, need in enumerate(needs)})


def test_jobs_with_a_result_are_omitted_and_locks_are_gone(tmp_path, capsys):
    jobs = jobs_of(tmp_path, row('a'), row('b'), row('c'))
    first = made(jobs[1], dict(hIoU=7.))
    fake = Fake()
    runs.Runs(jobs, fake, [''], {}, {}).run()
    assert fake.ran == ['a', 'c'] and read_result(jobs[1]) == first
    assert read_result(jobs[0])['metrics'] == dict(hIoU=50.) and read_result(jobs[0])['sessions']
    assert not list(tmp_path.rglob('*.lock'))
    printed = capsys.readouterr().out
    assert '[1/2, ' in printed and 'mine/c: done in 0.0 min: hIoU 50.00' in printed
    again = Fake()
    runs.Runs(jobs, again, [''], {}, {}).run()
    assert again.ran == []


def test_a_failed_job_and_those_that_need_it_get_a_sentence_and_others_run(tmp_path):
    jobs = jobs_of(tmp_path, row('teacher'), row('student', 'teacher'), row('next', 'student'), row('other'),
                   row('full'))
    fake = Fake(failing=dict(teacher=UserError('no data'), full=OSError(28, 'No space left on device')))
    run = runs.Runs(jobs, fake, [''], {}, {})
    run.run()
    assert run.failed.keys() == {f'mine/{name}' for name in ('teacher', 'student', 'next', 'full')}
    assert run.failed['mine/teacher'] == 'no data' and 'mine/teacher, which failed' in run.failed['mine/student']
    assert 'disk is full' in run.failed['mine/full'] and '--resume' not in run.failed['mine/full']
    assert fake.ran == ['teacher', 'other', 'full'] and jobs[3].result.exists() and not jobs[0].result.exists()


def test_a_disk_without_room_for_a_lock_stops_no_other_row(tmp_path, monkeypatch):
    jobs, acquire = jobs_of(tmp_path, row('a'), row('b', 'a'), row('c')), Lock.acquire

    def full(lock):
        if lock.path == jobs[0].lock:
            raise OSError(28, 'No space left on device')
        return acquire(lock)

    monkeypatch.setattr(Lock, 'acquire', full)
    run = runs.Runs(jobs, Fake(), [''], {}, {})
    run.run()
    assert run.commands.ran == ['c'] and run.failed.keys() == {'mine/a', 'mine/b'}
    assert 'disk is full' in run.failed['mine/a'] and 'finished rows are kept' in run.failed['mine/a']


def test_a_defect_of_the_program_is_raised(tmp_path):
    run = runs.Runs(jobs_of(tmp_path, row('a')), Fake(failing=dict(a=ZeroDivisionError())), [''], {}, {})
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert not list(tmp_path.rglob('*.lock'))


def test_slots_share_the_jobs(tmp_path):
    jobs = jobs_of(tmp_path, *(row(f'r{i}') for i in range(8)))
    fake = Fake(seconds=0.1)
    runs.Runs(jobs, fake, ['0', '1', '2'], {}, {}).run()
    assert sorted(fake.ran) == [f'r{i}' for i in range(8)] and set(fake.gpus) == {'0', '1', '2'} and fake.most == 3


def test_a_job_waits_for_the_one_it_needs_in_another_slot(tmp_path):
    jobs = jobs_of(tmp_path, row('a'), row('b', 'a'), row('c'))
    fake = Fake(seconds=0.1)
    runs.Runs(jobs, fake, ['', ''], {}, {}).run()
    assert set(fake.ran[:2]) == {'a', 'c'} and fake.ran[2:] == ['b']


def test_a_job_of_another_process_is_left_to_it(tmp_path):
    jobs = jobs_of(tmp_path, row('a'), row('b'))
    with Lock(jobs[0].lock):
        run = runs.Runs(jobs, Fake(), [''], {}, {})
        run.run()
    assert run.commands.ran == ['b'] and len(run.elsewhere) == 1 and 'mine/a is omitted' in run.elsewhere[0]
    assert not run.failed and not jobs[0].result.exists()


@pytest.mark.parametrize('finished', [True, False])
def test_a_needed_job_of_another_process_is_awaited_or_done_again(tmp_path, finished):
    jobs = jobs_of(tmp_path, row('a'), row('b', 'a'))
    lock = Lock(jobs[0].lock).acquire()
    run = runs.Runs(jobs, Fake(), [''], {}, {})
    thread = threading.Thread(target=run.run)
    thread.start()
    time.sleep(0.2)
    assert run.commands.ran == [] and thread.is_alive()
    if finished:
        made(jobs[0], dict(hIoU=1.))
    lock.release()  # without a result, it was killed
    thread.join(10)
    assert run.commands.ran == (['b'] if finished else ['a', 'b']) and jobs[1].result.exists()


def test_jobs_that_cannot_start_do_not(tmp_path):
    jobs = jobs_of(tmp_path, row('a'), row('b', 'a'), row('c'))
    run = runs.Runs(jobs, Fake(), [''], {'mine/a': 'no data'}, {})
    run.run()
    assert run.commands.ran == ['c'] and run.failed.keys() == {'mine/a', 'mine/b'}


def test_an_interruption_stops_the_commands(tmp_path, monkeypatch):
    fake = Fake(seconds=30)
    run = runs.Runs(jobs_of(tmp_path, row('a'), row('b')), fake, [''], {}, {})
    real = time.sleep

    def sleep(seconds):
        real(seconds)
        if fake.ran and threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt

    monkeypatch.setattr(runs.time, 'sleep', sleep)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert fake.stopped.is_set() and fake.ran == ['a']


def test_time_left_counts_waiting_and_running_jobs(tmp_path):
    jobs = jobs_of(tmp_path, dict(row('a'), minutes=30), dict(row('b'), minutes=90), row('c'))
    run = runs.Runs(jobs, Fake(), ['', ''], {}, {'mine/z': 60})
    # Known: 30, 90 and 60 minutes, so c counts 60. Two at a time.
    assert run._left() == '90 min left'
    run._pending.remove(jobs[0])
    run._active['mine/a'] = time.time() - 600  # ten of thirty minutes
    assert run._left() == '85 min left'
    assert runs.Runs(jobs[2:], Fake(), [''], {}, {})._left() == 'time left unknown'
    assert [runs.duration(minutes) for minutes in (0.4, 99, 120, 60 * 72)] == ['0 min', '99 min', '2.0 h', '3.0 days']


def test_results_are_json_without_nan(tmp_path):
    job, = jobs_of(tmp_path, row('a'))
    runs.Runs([job], Fake(), [''], {}, {}).run()
    json.loads(job.result.read_text(), parse_constant=lambda name: pytest.fail(name))

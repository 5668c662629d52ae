"""A job has one process, also after a crash."""
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time

import pytest

from mmseg_mvp.app.suites.locks import HALF_WRITTEN, Held, Lock, is_dead


def write(path, host=None, pids=()):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dict(host=host or socket.gethostname(), pids=list(pids))))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'suite/row.lock'


@pytest.fixture
def dead():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    return process.pid


def test_a_lock_names_host_and_process_and_is_removed(path):
    with Lock(path) as lock:
        assert json.loads(path.read_text()) == dict(host=socket.gethostname(), pids=[os.getpid()])
        lock.add(12345)
        assert json.loads(path.read_text())['pids'] == [os.getpid(), 12345]
        with pytest.raises(Held, match=f'suite/row is omitted, because process {os.getpid()} on '):
            Lock(path).acquire()
    assert not path.exists() and os.listdir(path.parent) == ['.order']


def test_the_lock_of_a_dead_process_is_taken_over(path, dead):
    write(path, pids=[dead])
    assert is_dead(path)
    with Lock(path):
        assert json.loads(path.read_text())['pids'] == [os.getpid()]


def test_a_child_that_outlives_its_parent_keeps_the_lock(path, dead):
    write(path, pids=[dead, os.getpid()])
    with pytest.raises(Held, match=f'process {os.getpid()} on '):
        Lock(path).acquire()


def test_the_lock_of_another_host_is_kept(path, dead):
    write(path, host='elsewhere', pids=[dead])
    with pytest.raises(Held, match=f'process {dead} on elsewhere .*remove .*row.lock if that process has ended'):
        Lock(path).acquire()


def test_a_half_written_lock_is_young_or_dead(path):
    path.parent.mkdir()
    path.write_text('')
    with pytest.raises(Held, match='another process'):
        Lock(path).acquire()
    os.utime(path, (0, time.time() - HALF_WRITTEN - 1))
    with Lock(path):
        assert not is_dead(path)


def claim(path, start, queue):
    start.wait()
    try:
        Lock(path).acquire()
        queue.put(os.getpid())
    except Held:
        queue.put(0)
    start.wait()  # all have tried before one ends


@pytest.mark.slow
@pytest.mark.parametrize('stale', [False, True])
def test_one_of_many_processes_wins(path, dead, stale):
    context = multiprocessing.get_context('fork')
    for _ in range(20):
        if stale:
            write(path, pids=[dead])
        start, queue = context.Barrier(6), context.Queue()
        processes = [context.Process(target=claim, args=(path, start, queue)) for _ in range(6)]
        for process in processes:
            process.start()
        winners = [pid for pid in (queue.get(timeout=30) for _ in processes) if pid]
        for process in processes:
            process.join()
        assert len(winners) == 1
        path.unlink()

"""Checkpoints that are whole or not there: half files, full disks, what is removed when, what a run goes on from."""
import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub

from mmseg_mvp.engine import AtomicCheckpointHook, find_complete_checkpoint
from mmseg_mvp.engine.atomic_checkpoint_hook import AtomicFileBackend, is_complete
from mmseg_mvp.errors import UserError


@pytest.fixture
def full_disk():
    """No file may grow above 64 KiB; Python gets an error then, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def checkpoint(path, age=0):
    """A small file as torch writes it, some seconds old."""
    torch.save(dict(state_dict=dict(weight=torch.arange(1000.))), path)
    os.utime(path, (1e9 - age, 1e9 - age))
    return str(path)


def test_a_file_takes_its_name_only_when_it_is_complete(tmp_path, monkeypatch):
    seen = []

    def watch(descriptor):
        seen.append({path.name: path.read_bytes() for path in tmp_path.iterdir()})

    monkeypatch.setattr(os, 'fsync', watch)
    (tmp_path / 'iter_4.pth').write_bytes(b'old')
    get_file_backend(str(tmp_path), backend_args=dict(backend='atomic')).put(b'new', str(tmp_path / 'iter_4.pth'))
    assert seen == [{'iter_4.pth': b'old', '.iter_4.part.pth': b'new'}, {'iter_4.pth': b'new'}]


def test_a_full_disk_leaves_the_file_of_before(tmp_path, full_disk):
    (tmp_path / 'iter_4.pth').write_bytes(b'old')
    with pytest.raises(UserError, match=r"iter_4.pth can't be written \(File too large\).*resume") as error:
        AtomicFileBackend().put(bytes(2**20), tmp_path / 'iter_4.pth')
    assert '\n' not in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {'iter_4.pth': b'old'}


class Runner(SimpleNamespace):
    """What the hook knows of a run, with checkpoints of so many bytes."""

    def __init__(self, work_dir):
        self.warnings = []
        super().__init__(
            work_dir=str(work_dir), iter=0, epoch=0, size=10, message_hub=MessageHub('whole checkpoint hook'),
            optim_wrapper=SimpleNamespace(_accumulative_counts=1),
            logger=SimpleNamespace(info=lambda text: None, warning=self.warnings.append))

    def save_checkpoint(self, out_dir, filename, file_client_args, meta, backend_args, **kwargs):
        self.there = {path.name for path in Path(out_dir).glob('*.pth')}  # when the writing begins
        get_file_backend(out_dir, backend_args=backend_args).put(bytes(self.size), os.path.join(out_dir, filename))


@pytest.fixture
def run(tmp_path):
    return Runner(tmp_path)


def names(*iterations):
    return {f'iter_{iteration}.pth' for iteration in iterations}


@pytest.mark.parametrize('keep, before, after', [(1, {3}, {4}), (2, {2, 3}, {3, 4})])
def test_the_oldest_is_removed_when_the_newest_is_safe(run, tmp_path, keep, before, after):
    hook = AtomicCheckpointHook(interval=1, by_epoch=False, max_keep_ckpts=keep)
    hook.before_train(run)
    for run.iter in range(4):
        hook.after_train_iter(run, run.iter)
    assert run.there == names(*before)
    assert {path.name for path in tmp_path.glob('*.pth')} == names(*after)
    assert run.message_hub.get_info('keep_ckpt_ids') == sorted(after)
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_4.pth')


def test_one_checkpoint_is_left_when_the_next_can_not_be_written(run, tmp_path, full_disk):
    hook = AtomicCheckpointHook(interval=1, by_epoch=False, max_keep_ckpts=1)
    hook.before_train(run)
    hook.after_train_iter(run, 0)
    run.iter, run.size = 1, 2**20
    with pytest.raises(UserError, match="iter_2.pth can't be written"):
        hook.after_train_iter(run, 1)
    assert {path.name for path in tmp_path.iterdir()} == {'iter_1.pth', 'last_checkpoint'}
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_1.pth')


def test_checkpoints_elsewhere_are_written_as_mmengine_does(tmp_path):
    assert AtomicCheckpointHook(out_dir='a folder').backend_args == dict(backend='atomic')
    for kwargs in (dict(out_dir='s3://bucket'), dict(backend_args=dict(backend='local'))):
        assert AtomicCheckpointHook(**kwargs).backend_args == CheckpointHook(**kwargs).backend_args


@pytest.mark.parametrize('interval, counts, words', [
    (6, 4, 'every 6 iterations, but the optimizer steps every 4'), (8, 4, None), (6, 1, None)])
def test_checkpoints_between_optimizer_steps_are_told(run, interval, counts, words):
    run.optim_wrapper._accumulative_counts = counts
    AtomicCheckpointHook(interval=interval, by_epoch=False).before_train(run)
    assert [words in text for text in run.warnings] == ([True] if words else [])


def test_the_latest_whole_checkpoint_is_found(tmp_path):
    assert find_complete_checkpoint(tmp_path) == (None, [])
    older, old, new = (checkpoint(tmp_path / f'iter_{number}.pth', age=20 - number) for number in (4, 8, 12))
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text(old)  # of a run that was started anew over a longer one
    assert find_complete_checkpoint(tmp_path) == (old, [])
    pointer.write_text(new)
    assert find_complete_checkpoint(tmp_path) == (new, [])
    pointer.write_text('')  # killed while it was written
    assert find_complete_checkpoint(tmp_path) == (new, [])
    pointer.write_text(str(tmp_path / 'iter_16.pth'))
    assert find_complete_checkpoint(tmp_path) == (new, [str(tmp_path / 'iter_16.pth')])
    pointer.write_text('s3://bucket/iter_16.pth')
    assert find_complete_checkpoint(tmp_path) == ('s3://bucket/iter_16.pth', [])
    pointer.write_text(new)
    content = (tmp_path / 'iter_12.pth').read_bytes()
    (tmp_path / 'iter_12.pth').write_bytes(content[:len(content) // 2])
    assert find_complete_checkpoint(tmp_path) == (old, [new])
    (tmp_path / 'iter_8.pth').write_bytes(b'')
    assert find_complete_checkpoint(tmp_path) == (older, [new, old])
    (tmp_path / 'iter_4.pth').unlink()
    with pytest.raises(UserError, match=r'No checkpoint of .* is complete \(.*iter_12.pth, .*iter_8.pth\): copy them'):
        find_complete_checkpoint(tmp_path)


def test_a_file_with_a_hole_is_not_whole(tmp_path):
    """As a file system may leave it after the power was cut: the size is right, blocks were never written."""
    path = checkpoint(tmp_path / 'iter_4.pth')
    assert is_complete(path)
    content = bytearray((tmp_path / 'iter_4.pth').read_bytes())
    content[2000:3000] = bytes(1000)
    (tmp_path / 'iter_4.pth').write_bytes(content)
    assert not is_complete(path) and not is_complete(tmp_path / 'no.pth')

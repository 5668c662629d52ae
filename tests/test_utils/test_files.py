"""A file is there as a whole or not at all."""
import resource

import pytest
import torch

from mmseg_mvp import app
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write, save_checkpoint


def test_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / 'new' / 'a.txt'
    with atomic_write(target) as temporary:
        temporary.write_text('half')
        assert not target.exists() and temporary.parent == target.parent and temporary.suffix == '.txt'
        temporary.write_text('whole')
    assert [path.name for path in target.parent.iterdir()] == ['a.txt'] and target.read_text() == 'whole'


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_what_fails_and_the_old_file_stays(tmp_path, error):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with pytest.raises(error), atomic_write(target, overwrite=True) as temporary:
        temporary.write_text('half')
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt'] and target.read_text() == 'old'


def test_nothing_is_overwritten_unasked(tmp_path):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with pytest.raises(UserError, match=r'a\.txt exists already.*overwrite=True'), atomic_write(target):
        pytest.fail('the work should not begin')
    with atomic_write(target, overwrite=True) as temporary:
        temporary.write_text('new')
    assert target.read_text() == 'new'


def test_folder_that_can_not_be_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file/a\.txt can\'t be written, because .*file is not a writable folder'):
        with atomic_write(tmp_path / 'file' / 'a.txt'):
            pytest.fail('the work should not begin')


def test_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r'a\.txt can\'t be written \(No space left'):
        with atomic_write(tmp_path / 'a.txt'):
            raise OSError(28, 'No space left on device')
    assert not list(tmp_path.iterdir())


class TestSaveCheckpoint:

    def test_torch_reads_it(self, tmp_path):
        save_checkpoint(dict(weight=torch.ones(3)), tmp_path / 'new' / 'a.pth')
        assert torch.load(tmp_path / 'new' / 'a.pth', weights_only=True)['weight'].tolist() == [1, 1, 1]

    def test_an_existing_file_is_not_overwritten(self, tmp_path):
        (tmp_path / 'a.pth').write_text('precious')
        with pytest.raises(UserError, match='a.pth exists already: name a new file'):
            save_checkpoint({}, tmp_path / 'a.pth')
        assert (tmp_path / 'a.pth').read_text() == 'precious'

    def test_a_path_inside_a_file_is_refused(self, tmp_path):
        (tmp_path / 'file').write_text('')
        with pytest.raises(UserError, match="a.pth can't be written"):
            save_checkpoint({}, tmp_path / 'file' / 'a.pth')

    def test_an_incomplete_file_is_removed(self, tmp_path):
        with pytest.raises(AttributeError):
            save_checkpoint(dict(local=lambda: None, tensor=torch.ones(3)), tmp_path / 'new' / 'a.pth')
        assert not list((tmp_path / 'new').iterdir())

    def test_a_full_disk_is_one_sentence(self, tmp_path, full_disk):
        with pytest.raises(UserError, match="a.pth can't be written"):
            save_checkpoint(dict(tensor=torch.ones(2**18)), tmp_path / 'a.pth')
        assert not list(tmp_path.iterdir())


@pytest.fixture
def full_disk():
    """Files larger than 64 KiB raise an error in Python, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_result_folder_must_be_new(tmp_path):
    app.check_new_folder(str(tmp_path / 'new'), '--out')
    app.check_new_folder(str(tmp_path), '--out')
    (tmp_path / 'result.png').touch()
    with pytest.raises(UserError, match='--out .* not an empty folder'):
        app.check_new_folder(str(tmp_path), '--out')


@pytest.mark.parametrize('out, show, apart', [
    ('a', 'b', True), ('a', 'ab', True), ('x/a', 'x/b', True), ('a', './a', False), ('a', 'a/b', False),
    ('a/b/', 'a', False),
    ('a', 'b/../a', False)])
def test_folders_of_equal_file_names_are_apart(out, show, apart):
    if apart:
        app.check_apart(out, show)
    else:
        with pytest.raises(UserError, match='--out .* and --show-dir .* could overwrite files: name two'):
            app.check_apart(out, show)

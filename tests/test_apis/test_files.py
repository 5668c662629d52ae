"""A file is there as a whole or not at all."""
import pytest

from mmseg_mvp.apis.files import written_whole
from mmseg_mvp.errors import UserError


def test_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / 'new' / 'a.txt'
    with written_whole(target) as temporary:
        temporary.write_text('half')
        assert not target.exists() and temporary.parent == target.parent and temporary.suffix == '.txt'
        temporary.write_text('whole')
    assert [path.name for path in target.parent.iterdir()] == ['a.txt'] and target.read_text() == 'whole'


@pytest.mark.parametrize('error', [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_of_what_fails_and_the_old_file_stays(tmp_path, error):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with pytest.raises(error), written_whole(target, overwrite=True) as temporary:
        temporary.write_text('half')
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt'] and target.read_text() == 'old'


def test_nothing_is_overwritten_unasked(tmp_path):
    target = tmp_path / 'a.txt'
    target.write_text('old')
    with pytest.raises(UserError, match=r'a\.txt exists already.*overwrite=True'), written_whole(target):
        pytest.fail('the work should not begin')
    with written_whole(target, overwrite=True) as temporary:
        temporary.write_text('new')
    assert target.read_text() == 'new'


def test_folder_that_can_not_be_is_one_sentence(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file/a\.txt can\'t be written, since .*file is no folder'):
        with written_whole(tmp_path / 'file' / 'a.txt'):
            pytest.fail('the work should not begin')


def test_full_disk_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r'a\.txt can\'t be written \(No space left'):
        with written_whole(tmp_path / 'a.txt'):
            raise OSError(28, 'No space left on device')
    assert not list(tmp_path.iterdir())

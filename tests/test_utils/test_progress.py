"""Progress in the terminal or to a listener."""
import pytest

from mmseg_mvp.utils.progress import listening, progress_of


def test_a_listener_hears_the_sums_and_the_terminal_nothing(capsys):
    heard = []
    with listening(lambda done, total: heard.append((done, total))):
        update = progress_of(5, many=9)
        update(2)
        update(3)
    assert heard == [(0, 5), (2, 5), (5, 5)] and capsys.readouterr().out == ''


def test_without_a_listener_a_bar_is_printed(capsys):
    with pytest.raises(KeyError), listening(print):
        raise KeyError
    assert progress_of(4, many=4) is None
    progress_of(4, many=3)(2)
    assert '2/4' in capsys.readouterr().out

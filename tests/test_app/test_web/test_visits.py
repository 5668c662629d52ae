"""Visits: whose the files and results are, and when they go."""
from types import SimpleNamespace

import pytest

from mmseg_mvp.app.web import visits as web_visits
from mmseg_mvp.app.web.visits import ENDING, MOST_RESULTS, SIGNAL, Visits, uploaded_path, without_folders
from mmseg_mvp.errors import UserError

ANN, BOB = SimpleNamespace(session_hash='ann'), SimpleNamespace(session_hash='bob')


def files(folder):
    return sorted(path.name for path in folder.rglob('*') if path.is_file())


@pytest.fixture
def visits(tmp_path):
    """Files of Ann, of Bob, of both and of nobody."""
    visits, paths = Visits(), [tmp_path / name for name in ('ann', 'bob', 'both', 'nobody')]
    for path in paths:
        path.touch()
    visits.note(ANN, paths[0], paths[2])
    visits.note(BOB, paths[1], paths[2])
    return visits


def test_files_go_with_their_visit(tmp_path, visits):
    visits.end('ann')
    assert files(tmp_path) == ['bob', 'both', 'nobody']
    visits.end('ann')
    visits.end('bob')
    assert files(tmp_path) == ['nobody']


def test_the_signal_of_a_page_ends_its_visit(tmp_path, visits):
    route = visits.route()
    assert ENDING in SIGNAL and route.path == f'/{ENDING}' and route.methods == {'POST'}
    for visit in ('nobody', 'ann'):
        assert route.endpoint(SimpleNamespace(path_params=dict(visit=visit))).status_code == 204
    assert files(tmp_path) == ['bob', 'both', 'nobody']


def test_a_run_that_outlives_its_visit_leaves_no_file_and_no_result(tmp_path, visits):
    visits.leave('ann')
    (tmp_path / 'late').touch()
    visits.note(ANN, tmp_path / 'late', tmp_path / 'both')
    visits.keep(ANN, 'result')
    assert files(tmp_path) == ['bob', 'both', 'nobody'] and visits.of(ANN).result is None
    assert visits.of(ANN) is visits.of(ANN) is not visits.of(BOB)


def test_a_visit_that_ended_by_a_pause_may_go_on(tmp_path, visits):
    visits.end('ann')
    (tmp_path / 'ann').touch()
    visits.note(ANN, tmp_path / 'ann')
    assert files(tmp_path) == ['ann', 'bob', 'both', 'nobody']


def test_a_visit_without_events_ends(tmp_path, visits, monkeypatch):
    now = web_visits.time.monotonic()
    monkeypatch.setattr(web_visits.time, 'monotonic', lambda: now + 3000)
    visits.of(BOB)
    monkeypatch.setattr(web_visits.time, 'monotonic', lambda: now + 4000)
    visits.of(SimpleNamespace(session_hash='new'))
    assert files(tmp_path) == ['bob', 'both', 'nobody']


def test_few_results_stay_in_memory():
    visits, guests = Visits(), [SimpleNamespace(session_hash=str(number)) for number in range(MOST_RESULTS + 2)]
    for guest in guests:
        visits.keep(guest, guest.session_hash)
    assert [visits.of(guest).result for guest in guests] == [None, None, *map(str, range(2, MOST_RESULTS + 2))]


def test_only_uploads_are_looked_at(tmp_path, monkeypatch):
    uploads = tmp_path / 'uploads'
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(uploads))
    uploads.mkdir()
    (uploads / 'scene.png').write_bytes(b'')
    (tmp_path / 'secret.png').write_bytes(b'secret')
    (uploads / 'link.png').symlink_to(tmp_path / 'secret.png')
    assert uploaded_path(dict(path=str(uploads / 'scene.png'))) == (uploads / 'scene.png').resolve()
    for path in (tmp_path / 'secret.png', uploads / '../secret.png', uploads / 'link.png', uploads / 'gone.png',
                 uploads, 'secret.png', 'http://127.0.0.1/x', f'file://{uploads}/scene.png', None, 7):
        with pytest.raises(UserError, match='not among the uploads'):
            uploaded_path(dict(path=path if path is None or path == 7 else str(path)))
    with pytest.raises(UserError, match='not among the uploads'):
        uploaded_path({})
    with pytest.raises(UserError, match='no image yet'):
        uploaded_path(None)


def test_folders_are_not_told(tmp_path):
    with pytest.raises(UserError, match='^a.png is bad, a.png$'), without_folders(tmp_path / 'a.png'):
        raise UserError(f'{tmp_path}/a.png is bad, {tmp_path}/a.png')

"""Conversion of COCO-20i's lists to JSON: equal episodes; pickles with code are refused."""
import json
import pickle
import sys

import pytest
from fixtures.payloads import write_pickle
from fixtures.tools import load_tool
from fixtures.trees import write_coco20i

from mmseg_mvp.datasets.episode_lists import read_coco_lists
from mmseg_mvp.errors import UserError


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the tool on a folder and returns the printed text."""
    tool = load_tool('dataset_converters/coco20i_lists.py')

    def run(folder):
        monkeypatch.setattr(sys, 'argv', ['coco20i_lists.py', str(folder)])
        tool.main()
        return capsys.readouterr().out

    return run


def test_json_says_what_the_pickle_said(tmp_path, run):
    folder = write_coco20i(tmp_path) / 'splits/coco'
    pickles = sorted(folder.rglob('*.pkl'))
    said = run(folder)
    assert len(pickles) == 8 == said.count('\n')
    for path in pickles:
        held = pickle.loads(path.read_bytes())
        written = json.loads(path.with_suffix('.json').read_text())
        assert written == {str(key): list(value) for key, value in held.items()}
        before = read_coco_lists(str(path), 80)
        path.unlink()
        assert read_coco_lists(str(path), 80) == before


def test_nothing_is_written_where_one_holds_code(tmp_path, run):
    folder = write_coco20i(tmp_path) / 'splits/coco'
    proof = write_pickle(folder / 'val/fold3.pkl')
    with pytest.raises(UserError, match='fold3.pkl.*cannot be read.*system'):
        run(folder)
    assert not proof.exists() and not list(folder.rglob('*.json'))


def test_nothing_is_overwritten(tmp_path, run):
    folder = write_coco20i(tmp_path) / 'splits/coco'
    (folder / 'trn/fold1.json').write_text('precious')
    with pytest.raises(UserError, match='fold1.json exists'):
        run(folder)
    assert len(list(folder.rglob('*.json'))) == 1 and (folder / 'trn/fold1.json').read_text() == 'precious'


def test_a_folder_without_lists(tmp_path, run):
    with pytest.raises(UserError, match='contains no .pkl file: expected lists such as trn/fold0.pkl'):
        run(tmp_path)

"""The tool that plots training curves."""
import json
import sys

import numpy as np
import pytest
from fixtures.tools import load_tool
from PIL import Image

from mmseg_mvp.visualization.curves import draw_curves


@pytest.fixture
def plot(monkeypatch):
    tool = load_tool('analysis_tools/plot_curves.py')

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['plot_curves.py', *map(str, arguments)])
        with tool.cli.user_errors():
            tool.main()

    return run


def work_dir(folder, loss, hiou):
    log = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(map(json.dumps, [dict(lr=0.1, loss=2 * loss, step=50), dict(lr=0.1, loss=loss, step=100),
                                              dict(hIoU=hiou, mIoU=hiou, step=100)])) + '\n')
    return folder


def test_several_runs_are_in_one_picture(plot, tmp_path, capsys):
    one, two = work_dir(tmp_path / 'a' / 'voc', 1., 30.), work_dir(tmp_path / 'b' / 'voc', 3., 40.)
    plot(one, two, '--out', tmp_path / 'new' / 'curves.png')
    runs = {name: dict(loss={50: 2 * loss, 100: loss}, hIoU={100: hiou})
            for name, loss, hiou in (('1: voc', 1., 30.), ('2: voc', 3., 40.))}
    found = np.asarray(Image.open(tmp_path / 'new' / 'curves.png'))
    assert np.array_equal(found, draw_curves(runs, ['loss', 'hIoU']))
    assert '1: voc, 2: voc' in capsys.readouterr().out
    plot(one, two, '--out', tmp_path / 'loss.png', '--keys', 'loss', '--legend', 'ours', 'theirs')
    found = np.asarray(Image.open(tmp_path / 'loss.png'))
    assert np.array_equal(found, draw_curves(dict(zip(('ours', 'theirs'), runs.values())), ['loss']))


@pytest.mark.parametrize('arguments, message', [
    (['nowhere', '--out', 'new.png'], 'can\'t be read'),
    (['voc', '--out', 'new.doc'], 'new.doc does not end in'),
    (['voc', '--out', 'old.png'], '--out old.png exists; name a new file'),
    (['voc', '--out', 'new.png', '--keys', 'accuracy'], 'no values of accuracy: expected some of loss, hIoU'),
    (['voc', '--out', 'new.png', '--legend', 'a', 'b'], '--legend has 2 names, but the logs hold 1 runs: voc')])
def test_mistakes_are_one_sentence(plot, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    work_dir(tmp_path / 'voc', 1., 30.)
    (tmp_path / 'old.png').touch()
    with pytest.raises(SystemExit, match='2'):
        plot(*arguments)
    error = capsys.readouterr().err
    assert error.count('\n') == 1 and message in error and not (tmp_path / 'new.png').exists()

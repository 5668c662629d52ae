"""tools/dataset_converters/annotations2mmseg.py: arguments, summary and mistakes in one sentence."""
import sys

import pytest
from fixtures.annotations import shape, write_labelme, write_photo
from fixtures.tools import load_tool

from mmseg_mvp import app


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the tool in a folder with five photos and their labelme files; its exit code and what it printed."""
    tool = load_tool('dataset_converters/annotations2mmseg.py')
    monkeypatch.chdir(tmp_path)
    for index in range(5):
        write_photo(tmp_path / f'photos/{index}.png', seed=index)
        write_labelme(tmp_path / f'labels/{index}.json', [shape('tree', [[1, 1], [5, 5]], 'rectangle')], f'{index}.png')

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', ['annotations2mmseg.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end, app.user_errors():
            tool.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return call


def test_summary(run, tmp_path):
    code, out, _ = run('photos', 'labels', 'data')
    assert code == 0 and out == ("data: 4 photos for training and 1 held out, from labelme; img_suffix='.png', "
                                 '2 classes: tree, background\n')
    written = sorted(path.name for path in (tmp_path / 'data').iterdir())
    assert written == ['classes.txt', 'masks', 'photos', 'train.txt', 'val.txt']


def test_arguments(run, tmp_path):
    code, out, _ = run('photos', 'labels', 'data', '--unlabelled', 'ignore', '--val', .4, '--seed', 3, '--classes',
                       'house, tree')
    assert code == 0 and '3 photos for training and 2 held out' in out and '2 classes: house, tree' in out


@pytest.mark.parametrize('arguments, told', [
    (['photos', 'labels', 'photos'], 'photos exists already'),
    (['photos', 'nowhere', 'data'], 'nowhere does not exist'),
    (['photos', 'labels', 'data', '--max-pixels', '20'], '--max-pixels'),
    (['photos', 'labels', 'data', '--val', '1'], '--val'),
])
def test_mistakes(run, tmp_path, arguments, told):
    code, _, err = run(*arguments)
    assert code == 2 and told in err and err.startswith('error: ') and err.count('\n') == 1
    assert not (tmp_path / 'data').exists()

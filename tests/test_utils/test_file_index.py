"""Look-up of many files: the same answers as the file system, from one listing per folder."""
import os
from itertools import product

from mmseg_mvp.utils.file_index import FileIndex, first_three


def test_answers_are_those_of_the_file_system(tmp_path, monkeypatch):
    (tmp_path / 'a').mkdir()
    for name in ('a/x.png', 'a/y.png', 'z.png'):
        (tmp_path / name).touch()
    (tmp_path / 'link.png').symlink_to('z.png')
    (tmp_path / 'broken.png').symlink_to('none')
    monkeypatch.chdir(tmp_path)
    paths = [os.path.join(*parts) for parts in product(
        ['', str(tmp_path), 'a', 'b', 'a/../a', 'z.png', '\0', 'l' * 5000],
        ['x.png', 'z.png', 'a', 'link.png', 'broken.png', '', '../z.png', '\0'])]
    assert FileIndex().missing(paths) == list(dict.fromkeys(path for path in paths if not os.path.isfile(path)))


def test_each_folder_is_listed_once(tmp_path, monkeypatch):
    calls, scandir = [], os.scandir
    monkeypatch.setattr(os, 'scandir', lambda folder: calls.append(folder) or scandir(folder))
    index = FileIndex()
    assert len(index.missing(f'{tmp_path}/{i}' for i in range(50))) == 50 and calls == [str(tmp_path)]


def test_three_are_named():
    assert first_three(['a']) == "'a'" and first_three(list('abcd')) == "'a', 'b', 'c', ..."

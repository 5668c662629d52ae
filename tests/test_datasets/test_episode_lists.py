"""Untrusted lists: no code runs, reading is bounded, and each error is one short sentence."""
import json

import pytest
from fixtures.pickles import END, START, call, name, nested, number, plain, text
from fixtures.refusals import refused

from mmseg_mvp.datasets.episode_lists import read_categories, read_coco_lists, read_pascal_list

IMAGE = 'val2014/COCO_val2014_000000000042.jpg'


@pytest.mark.parametrize('content, said', [
    (b'}' + nested(60) + b'Ns', 'cannot be read'), (b'}' + text('a') + nested(60) + b's', 'cannot be read'),
    (nested(60), 'cannot be read'), (nested(10), 'expected a dict from class'),
    (b'}' + number(0) + nested(10) + b's', 'Entry 0 of class 0'), (name('builtins', 'print'), 'builtins.print'),
    (call('posix', 'system', text('touch proof')), 'posix.system'), (call('my.code', 'Thing'), 'my.code.Thing'),
    (b'}' + number(10 ** 5000) + b'Ns', 'cannot be read'), (plain({'9' * 10000: []}), 'has a class'),
    (plain({'0': ['x' * 10 ** 6]}), 'Entry 0 of class'), (plain({0: 3}), 'expected a list'),
    (plain({True: []}), 'has a class'),
    (b']q\x00h\x00a', 'cannot be read'), (b'}' + name('builtins', 'print') + b'Ns', 'has a class builtins.print')])
def test_pickled_lists(tmp_path, content, said):
    (tmp_path / 'fold0.pkl').write_bytes(START + content + END)
    refused(lambda: read_coco_lists(str(tmp_path / 'fold0.pkl'), 80), 'fold0.pkl', said)
    assert [path.name for path in tmp_path.iterdir()] == ['fold0.pkl']


@pytest.mark.parametrize('lists', [{'9' * 10000: [IMAGE]}, {'-1': [IMAGE]}, {'0': ['../secret.jpg']}, [[[[]]]]])
def test_lists_in_json(tmp_path, lists):
    (tmp_path / 'fold0.json').write_text(json.dumps(lists))
    refused(lambda: read_coco_lists(str(tmp_path / 'fold0.pkl'), 80), 'fold0.json')


def test_lists_as_they_are_published(tmp_path):
    (tmp_path / 'fold0.pkl').write_bytes(START + plain({0: [IMAGE], 79: []}) + END)
    assert read_coco_lists(str(tmp_path / 'fold0.pkl'), 80) == {0: [IMAGE[:-4]], 79: []}


@pytest.mark.parametrize('line', ['..', '.', 'a/b', 'a\\b', 'x' * 1000])
def test_a_category_is_a_folder_below_the_data(tmp_path, line):
    (tmp_path / 'test.txt').write_text(f'abacus\n{line}\n')
    refused(lambda: read_categories(str(tmp_path / 'test.txt')), 'Line 2')


@pytest.mark.parametrize('line', ['2007_000033__' + '9' * 10000, 'x' * 10 ** 6 + '__01', '../a__01'])
def test_lines_of_pascal(tmp_path, line):
    (tmp_path / 'fold0.txt').write_text(line)
    refused(lambda: read_pascal_list(str(tmp_path / 'fold0.txt'), range(5)), 'Line 1')


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le', 'latin-1'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_lists_in_other_encodings(tmp_path, encoding, end):
    (tmp_path / 'test.txt').write_bytes(f'café{end}{end}abacus {end}'.encode(encoding))
    assert read_categories(str(tmp_path / 'test.txt')) == ['café', 'abacus']
    (tmp_path / 'fold0.txt').write_bytes(f'2007_000033__01{end}{end}2007_000061__04{end}'.encode(encoding))
    assert read_pascal_list(str(tmp_path / 'fold0.txt'), range(5)) == [('2007_000033', 0), ('2007_000061', 3)]

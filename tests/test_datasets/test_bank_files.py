"""Files of a feature bank: what is written is read, also by numpy alone; damaged and foreign folders are refused."""
import json
import os

import numpy as np
import pytest
from fixtures.refusals import refused

from mmseg_mvp.datasets.bank_files import BankFiles, locked

SHAPES = dict(features=(4, 2, 3), labels=(8, 12))


@pytest.fixture
def files(tmp_path):
    """A bank of three images with two crops each, of which the second is written."""
    files = BankFiles(tmp_path / 'my bank ü', dict(seed=0), 3, 2, **SHAPES)
    random = np.random.default_rng(0)
    files.features = random.normal(size=(2, 4, 2, 3)).astype(np.float16)
    files.given = random.integers(0, 256, (2, 8, 12), np.uint8)
    files.write_index()
    files.write(1, files.features, files.given)
    return files


def test_a_crop_is_read_as_it_was_written(files):
    for crop in range(2):
        features, labels = BankFiles.open(files.folder).read(1, crop)
        assert features.dtype == np.float16 and np.array_equal(features, files.features[crop])
        assert labels.dtype == np.uint8 and np.array_equal(labels, files.given[crop])


def test_numpy_alone_reads_a_file(files):
    records = np.load(files.folder / '00000001.npy', mmap_mode='r')
    assert np.array_equal(records['features'], files.features) and np.array_equal(records['labels'], files.given)
    assert os.path.getsize(files.path(1)) == files.bytes_per_image


def test_a_file_of_another_size_is_missing(files):
    assert BankFiles.open(files.folder).missing() == [0, 2]
    files.path(0).write_bytes(b'')
    files.path(2).write_bytes(files.path(1).read_bytes()[:-1])
    (files.folder / '.00000002.part.npy').write_bytes(files.path(1).read_bytes())
    assert files.missing() == [0, 2]


@pytest.mark.parametrize('damage', ['removed', 'empty', 'cut', 'other shape', 'text'])
def test_a_damaged_file_is_named(files, damage):
    path = files.path(1)
    content = path.read_bytes()
    path.unlink()
    if damage == 'empty':
        path.touch()
    elif damage == 'cut':
        path.write_bytes(content[:200])
    elif damage == 'other shape':
        np.save(path, np.zeros(2))
    elif damage == 'text':
        path.write_text('x' * 100)
    refused(lambda: files.read(1, 0), '00000001.npy', 'delete this file')


def test_a_new_or_empty_folder_has_no_bank(tmp_path):
    assert BankFiles.open(tmp_path / 'new') is None and BankFiles.open(tmp_path) is None


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / 'photo.jpg').touch()
    refused(lambda: BankFiles.open(tmp_path), "'photo.jpg'", 'empty or a new folder')
    refused(lambda: BankFiles.open(tmp_path / 'photo.jpg'), 'is a file')


@pytest.mark.parametrize('content', ['', '[]', '{"version": 2}', '{"version": 1}', '{"version": 1, "a": 0}', '\xff'])
def test_a_damaged_index_is_refused(files, content):
    (files.folder / 'index.json').write_text(content, 'latin-1')
    refused(lambda: BankFiles.open(files.folder), 'index.json', 'delete')


def test_the_index_is_plain_json(files):
    index = json.loads((files.folder / 'index.json').read_text())
    assert (index['images'], index['augmentations'], index['features']) == (3, 2, [4, 2, 3])


@pytest.mark.parametrize(('there', 'here', 'words'), [
    ({'crop size': '512 x 512'}, {'crop size': '336 x 336'}, "crop size is '512 x 512' there and '336 x 336' here"),
    ({'p': [{'type': 'A', 'prob': 0.5}]}, {'p': [{'type': 'A', 'prob': 0.0}]}, 'p[0].prob is 0.5 there and 0.0 here'),
    ({'p': [{'type': 'A'}]}, {'p': [{'type': 'A'}, {'type': 'B'}]}, "p[1].type is not set there and 'B' here"),
    ({'a': None, 'b': 1}, {'a': None}, 'b is 1 there and not set here')])
def test_the_first_difference_is_named(tmp_path, there, here, words):
    files = BankFiles(tmp_path, there, 3, 2, **SHAPES)
    files.check_settings(there)
    refused(lambda: files.check_settings(here), words, str(tmp_path), 'delete this one')


def test_one_process_builds_a_bank(tmp_path):
    def again():
        with locked(tmp_path):
            pass

    with locked(tmp_path):
        refused(again, 'being built by another process', str(tmp_path))
    again()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    def start():
        with locked(tmp_path / 'file' / 'bank'):
            pass

    (tmp_path / 'file').touch()
    refused(start, 'cannot be written', 'writable folder')

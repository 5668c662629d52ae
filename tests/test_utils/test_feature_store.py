"""Features of images in files that are named by the pixels."""
import resource
import shutil
from pathlib import Path

import pytest
import torch
from fixtures.refusals import refused

from mmseg_mvp.utils.feature_store import FeatureStore

SETTINGS = {'CLIP (fingerprint)': 'abc'}


class Tower:
    """Means of 2 x 2 pixels and the sum of the channels; counts the images."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        return torch.nn.functional.avg_pool2d(images, 2), images.sum(1, keepdim=True)


@pytest.fixture
def tower():
    return Tower()


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob('*/*.safetensors'))


@pytest.mark.parametrize('precision', ['float16', 'float32'])
def test_each_image_is_computed_once_and_rounded_to_the_precision(tmp_path, tower, precision):
    images = torch.randn(3, 3, 4, 6)
    expected = [output.to(getattr(torch, precision)).float() for output in Tower()(images)]
    first = FeatureStore(tmp_path / 'bank', SETTINGS, precision)(images, tower)
    store = FeatureStore(tmp_path / 'bank', SETTINGS, precision)
    later = store(images[[2, 0, 1]], tower)
    assert tower.seen == 3 == len(files(tmp_path / 'bank')) == store.read and store.added == 0
    for one, other, truth in zip(first, later, expected):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, truth) and torch.equal(other, truth[[2, 0, 1]])


def test_only_missing_images_are_computed(tmp_path, tower):
    images, store = torch.randn(3, 3, 4, 4), FeatureStore(tmp_path, SETTINGS)
    store(images[:2], tower)
    found, _ = store(images[[1, 2]], tower)
    assert (tower.seen, store.read, store.added) == (3, 1, 3)
    assert torch.allclose(found, Tower()(images[[1, 2]])[0], atol=2e-3)
    assert store.added_bytes == sum(path.stat().st_size for path in files(tmp_path))


def test_equal_bytes_of_another_shape_are_another_image(tmp_path, tower):
    store, pixels = FeatureStore(tmp_path, SETTINGS), torch.randn(1, 3, 4, 8)
    wide, _ = store(pixels, tower)
    tall, _ = store(pixels.reshape(1, 3, 8, 4), tower)
    assert (wide.shape[2:], tall.shape[2:]) == ((2, 4), (4, 2))


def test_a_store_of_other_settings_or_files_is_refused(tmp_path, tower):
    FeatureStore(tmp_path / 'bank', SETTINGS)
    refused(lambda: FeatureStore(tmp_path / 'bank', {'CLIP (fingerprint)': 'xyz'}), 'fingerprint', "'abc' there",
            "'xyz' here")
    refused(lambda: FeatureStore(tmp_path / 'bank', SETTINGS, 'float32'), "precision is 'float16' there")
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'photos/a.jpg').touch()
    refused(lambda: FeatureStore(tmp_path / 'photos', SETTINGS), "'a.jpg'", 'empty or a new folder')
    refused(lambda: FeatureStore(tmp_path / 'photos/a.jpg', SETTINGS), 'is a file')
    (tmp_path / 'training').mkdir()
    (tmp_path / 'training/index.json').write_text('{"version": 1, "settings": {}}')
    refused(lambda: FeatureStore(tmp_path / 'training', SETTINGS), 'is a feature bank, but', 'another folder')


def test_a_damaged_file_is_named(tmp_path, tower):
    images, store = torch.randn(1, 3, 4, 4), FeatureStore(tmp_path, SETTINGS)
    store(images, tower)
    path, = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    refused(lambda: store(images, tower), path.name, 'delete this file')


def test_infinite_values_are_refused(tmp_path, tower):
    store = FeatureStore(tmp_path, SETTINGS)
    refused(lambda: store(torch.full((1, 3, 4, 4), 60000.), tower), 'float16', 'float32')
    assert not files(tmp_path)


def test_a_full_disk_keeps_the_finished_images(tmp_path, tower):
    images, store = torch.randn(2, 3, 8, 8), FeatureStore(tmp_path, SETTINGS)
    store(images[:1], tower)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        refused(lambda: store(images[1:], tower), 'can\'t be written', 'free disk space', 'finished images are kept')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(files(tmp_path)) == 1
    assert len([path for path in tmp_path.rglob('*') if path.is_file()]) == 2  # with the index
    shutil.rmtree(tmp_path)


def test_outputs_of_another_kind_are_computed_as_well(tmp_path, tower):
    images, store = torch.randn(1, 3, 4, 4), FeatureStore(tmp_path, SETTINGS)
    assert len(store(images, tower)) == 2
    keys, = store(images, lambda batch: (batch, ), 'keys')
    assert torch.allclose(keys, images, atol=2e-3) and len(store(images, tower)) == 2

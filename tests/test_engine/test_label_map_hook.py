"""Predicted label maps as files."""
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_mvp.engine import LabelMapHook


class Images:
    """A data set that has a list of images and classes only."""

    def __init__(self, paths, num_classes):
        self.paths, self.metainfo = paths, dict(classes=[f'class {index}' for index in range(num_classes)])

    def __len__(self):
        return len(self.paths)

    def get_data_info(self, index):
        return dict(img_path=self.paths[index])


def write(folder, paths, labels, num_classes, **meta) -> list[str]:
    """Write label maps (H, W), one a batch; return the messages of the log."""
    messages = []
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=Images(paths, num_classes)),
                             logger=SimpleNamespace(info=messages.append))
    hook = LabelMapHook(str(folder))
    hook.before_test(runner)
    for index, (path, label) in enumerate(zip(paths, labels)):
        sample = SegDataSample(metainfo=dict(img_path=path, **meta))
        sample.pred_sem_seg = PixelData(data=torch.as_tensor(label)[None])
        hook.after_test_iter(runner, index, {}, [sample])
    hook.after_test(runner)
    return messages


def test_images_of_equal_stems_are_all_written(tmp_path):
    labels = [np.full((2, 3), index) for index in range(3)]
    messages = write(tmp_path / 'new', ['d/a/0.jpg', 'd/b/0.jpg', 'd/b/0.png'], labels, 3)
    files = sorted((tmp_path / 'new').rglob('*.png'))
    assert [path.relative_to(tmp_path / 'new').as_posix() for path in files] == [
        'a/0.jpg.png', 'b/0.jpg.png', 'b/0.png.png']
    assert all(np.array_equal(np.asarray(Image.open(path)), label) for path, label in zip(files, labels))
    assert len(messages) == 1 and str(tmp_path / 'new') in messages[0]


@pytest.mark.parametrize('num_classes, meta, dtype, added', [
    (255, {}, np.uint8, 0), (255, dict(reduce_zero_label=True), np.uint8, 1), (847, {}, np.uint16, 0),
    (847, dict(reduce_zero_label=True), np.uint16, 1), (3, dict(reduce_zero_label=False), np.uint8, 0)])
def test_every_label_is_kept(tmp_path, num_classes, meta, dtype, added):
    label = np.array([[0, 1, num_classes - 1]])
    write(tmp_path, ['0.jpg'], [label], num_classes, **meta)
    found = np.asarray(Image.open(tmp_path / '0.png'))
    assert np.array_equal(found, label + added) and found.dtype.itemsize >= np.dtype(dtype).itemsize


def test_one_row_stays_one_row(tmp_path):
    write(tmp_path, ['0.jpg'], [np.array([[0, 1, 2]])], 3)
    assert np.asarray(Image.open(tmp_path / '0.png')).shape == (1, 3)


def test_labels_of_a_samples_own_vocabulary(tmp_path):
    vocabulary = {f'name {index}': (f'name {index}',) for index in range(300)}
    write(tmp_path, ['0.jpg'], [np.array([[299]])], 2, vocabulary=vocabulary)
    assert np.asarray(Image.open(tmp_path / '0.png')).item() == 299

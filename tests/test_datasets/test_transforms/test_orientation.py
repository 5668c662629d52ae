"""Photos with an EXIF orientation and masks on the turned or the stored pixels."""
import numpy as np
import pytest
from fixtures.logs import record_notices
from PIL import Image

from mmseg_mvp.datasets import LoadCheckedAnnotations, LoadCheckedImage
from mmseg_mvp.errors import UserError

STORED = np.arange(12, dtype=np.uint8).reshape(3, 4)
SQUARE = np.arange(9, dtype=np.uint8).reshape(3, 3)


@pytest.fixture
def said(monkeypatch):
    return record_notices(monkeypatch)


def load(folder, photo, mask, orientation, mask_orientation=1):
    for name, array, value in (('photo', photo, orientation), ('mask', mask, mask_orientation)):
        exif = Image.Exif()
        exif[0x0112] = value
        Image.fromarray(array).save(folder / f'{name}.png', exif=exif)
    results = dict(img_path=str(folder / 'photo.png'), seg_map_path=str(folder / 'mask.png'), reduce_zero_label=False,
                   seg_fields=[])
    results = LoadCheckedAnnotations(20).transform(LoadCheckedImage().transform(results))
    return results['img'][..., 0], results['gt_seg_map']


@pytest.mark.parametrize('orientation, turn', [(6, lambda a: np.rot90(a, -1)), (8, np.rot90), (5, np.transpose)])
def test_sizes_decide(orientation, turn, tmp_path, said):
    image, labels = load(tmp_path, STORED, turn(STORED), orientation)
    assert image.tolist() == labels.tolist() == turn(STORED).tolist() and not said
    image, labels = load(tmp_path, STORED, STORED, orientation)
    assert image.tolist() == labels.tolist() == turn(STORED).tolist()
    assert len(said) == 1 and 'photo.png' in said[0] and 'mask.png' in said[0] and 'both are turned' in said[0]


@pytest.mark.parametrize('orientation, array', [(2, STORED), (3, STORED), (4, STORED), (6, SQUARE), (7, SQUARE)])
def test_undecided_orientations_are_told_with_both_readings(orientation, array, tmp_path, said):
    _, labels = load(tmp_path, array, array, orientation)
    assert labels.tolist() == array.tolist()
    assert len(said) == 1 and f'orientation {orientation}' in said[0] and 'mask.png' in said[0]
    assert 'as drawn on the turned photo' in said[0] and 'on the stored pixels' in said[0]


def test_mask_with_the_orientation_of_its_photo_is_decided(tmp_path, said):
    image, labels = load(tmp_path, STORED, STORED, 3, 3)
    assert image.tolist() == labels.tolist() == STORED[::-1, ::-1].tolist() and not said


def test_no_orientation_no_word(tmp_path, said):
    image, labels = load(tmp_path, STORED, STORED, 1)
    assert image.tolist() == labels.tolist() == STORED.tolist() and not said


def test_mask_of_neither_size_is_refused(tmp_path):
    with pytest.raises(UserError, match='2 x 2 pixels but its image is 3 x 4'):
        load(tmp_path, STORED, STORED[:2, :2], 6)

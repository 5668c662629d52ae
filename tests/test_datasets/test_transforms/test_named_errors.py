"""Images that a resize reduces to nothing are named, whatever the resize of the pipeline."""
import cv2
import numpy as np
import pytest
from fixtures.refusals import refused
from PIL import Image

from mmseg_mvp.datasets.transforms.named_errors import NamedErrors

pytestmark = pytest.mark.usefixtures('mmseg_scope')


@pytest.mark.parametrize('resize', [
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='RandomResize', scale=(64, 64), ratio_range=(1, 1), keep_ratio=True),
    dict(type='RandomChoiceResize', scales=[(64, 64)], keep_ratio=True)])
@pytest.mark.parametrize('shape', [(1, 900), (900, 1), (2, 4000)])
def test_strips(resize, shape, tmp_path):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / 'strip.png')
    run = NamedErrors([dict(type='LoadCheckedImage'), resize])
    size = f'{shape[1]} x {shape[0]}'
    refused(lambda: run(dict(img_path=str(tmp_path / 'strip.png'))), 'strip.png', size, 'side would be 0')


@pytest.mark.parametrize('shape', [(1, 90), (90, 1), (1, 1)])
def test_narrow_images_that_stay(shape, tmp_path):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / 'line.png')
    run = NamedErrors([dict(type='LoadCheckedImage'), dict(type='Resize', scale=(64, 64), keep_ratio=True)])
    assert min(run(dict(img_path=str(tmp_path / 'line.png')))['img'].shape) >= 1


def test_other_errors_of_opencv_stay():
    def fail(results):
        raise cv2.error('another one')

    with pytest.raises(cv2.error, match='another'):
        NamedErrors([fail])({})

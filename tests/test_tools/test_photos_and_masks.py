"""Photos and masks as the field has them, through the training and test tools: the right result, or one sentence."""
import re
import runpy
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.utils import notices

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('mmseg_scope')]
ROOT = Path(__file__).parents[2]
MANY = 301
CONFIG = """
_base_ = '{root}/configs/lseg/toy_zs.py'
classes, ignored = {classes}, {ignored}
load = [dict(type='LoadCheckedImage'),
        dict(type='LoadCheckedAnnotations', num_classes=len(classes), ignore_index=ignored)]
train_pipeline = [*load, dict(type='RandomResize', scale=(96, 96), ratio_range=(0.7, 1.4), keep_ratio=True),
                  dict(type='CountingRandomCrop', crop_size=(64, 64), cat_max_ratio=0.9, ignore_index=ignored),
                  dict(type='PackSegInputs')]
files = dict(_delete_=True, type='BaseSegDataset', img_suffix='.png', metainfo=dict(classes=classes),
             data_prefix=dict(img_path='photos', seg_map_path='masks'), reduce_zero_label={reduced})
train_dataloader = dict(batch_size=2, num_workers={workers}, persistent_workers=False,
                        dataset=dict(pipeline=train_pipeline, **files))
test_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False,
                       dataset=dict(pipeline=[*load, dict(type='PackSegInputs')], **files))
val_dataloader = test_dataloader
val_evaluator = dict(_delete_=True, type='ZeroShotIoUMetric', ignore_index=ignored)
test_evaluator = val_evaluator
train_cfg = dict(max_iters=4, val_interval=4)
model = dict(decode_head=dict(train_classes=classes, test_classes=classes, ignore_index=ignored))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    monkeypatch.setattr(notices, '_named', type(notices._named)(set))
    return tmp_path


@pytest.fixture
def run(place, monkeypatch, capfd):
    """Write scenes changed by a function, run a tool on them; the exit code and all that it says."""
    def write(change, classes=('house', 'tree'), reduced=True, ignored=255, workers=0):
        for folder in ('photos', 'masks'):
            (place / folder).mkdir(exist_ok=True)
        chosen = [scene for scene in (draw_scene(index, 'val', size=96) for index in range(30))
                  if np.isin(scene.labels, [CLASSES.index('house'), CLASSES.index('tree')]).any()]
        for index, scene in enumerate(chosen):
            mask = np.zeros_like(scene.labels)
            for value, name in enumerate(['house', 'tree'], 1):
                mask[scene.labels == CLASSES.index(name)] = value
            image, mask, *settings = change(scene.image, mask)
            Image.fromarray(image).save(place / f'photos/{index}.png', **(settings or [{}])[0])
            Image.fromarray(mask).save(place / f'masks/{index}.png')
        (place / 'config.py').write_text(CONFIG.format(root=ROOT, classes=list(classes), reduced=reduced,
                                                       ignored=ignored, workers=workers))
        return len(chosen)

    def run(tool, *arguments):
        monkeypatch.setattr(sys, 'argv', [f'{tool}.py', 'config.py', *arguments, '--work-dir', 'work'])
        code = 0
        try:
            runpy.run_path(str(ROOT / 'tools' / f'{tool}.py'), run_name='__main__')
        except SystemExit as end:
            code = end.code
        said = ''.join(capfd.readouterr())
        assert 'Traceback' not in said
        return code, said

    run.write = write
    return run


def binary(image, mask):
    return image, (mask > 0).astype(np.uint8) * 255


def test_masks_of_0_and_255(run):
    run.write(binary)
    code, said = run('train')
    assert code == 2 and 'No pixel of the first 4 batches is labelled' in said and 'hold the values 0, 255' in said
    run.write(binary, reduced=False)
    code, said = run('train')
    assert code == 0 and "of the class 'house', one of 2" in said and 'store the foreground as 1' in said
    assert '1 of 2 classes have no labelled pixel in the ground truth: tree.' in said and 'single class' in said
    assert 'Training saw no labelled pixel of 1 of 2 classes: tree.' in said


def test_a_test_that_measures_nothing(run):
    run.write(lambda image, mask: (image, np.full_like(mask, 255)))
    code, said = run('test')
    assert code == 2 and 'masks has a labelled pixel, so nothing was measured' in said


def test_photos_of_12_bits_in_16(run):
    run.write(lambda image, mask: (image[..., 1].astype(np.uint16) * 16, mask))
    code, said = run('train')
    assert code == 0 and re.search(r"photos/\d\.png' has uint16 values .*: 0 is read as black and 4095 as white", said)


def test_a_strip_is_named_by_a_worker(run):
    run.write(lambda image, mask: (image[:1].repeat(60, 1), mask[:1].repeat(60, 1)), workers=1)
    code, said = run('train')
    assert code == 2 and re.search(r"error: Image 'photos/\d\.png' of 5760 x 1 pixels cannot be resized", said)


def rows_only(image, mask):
    row = (mask > 0).sum(axis=1).argmax()
    return image[row:row + 1], mask[row:row + 1]


@pytest.mark.parametrize('change', [rows_only, lambda image, mask: tuple(
    part.swapaxes(0, 1) for part in rows_only(image.swapaxes(0, 1), mask.T))])
def test_one_row_or_column(run, change, place):
    count = run.write(change)
    for arguments in (['train'], ['test', 'work/iter_4.pth', '--out', 'out', '--show-dir', 'shown']):
        code, said = run(*arguments)
        assert code == 0, said[-500:]
    assert len(list((place / 'shown').iterdir())) == count
    for path in (place / 'out').iterdir():
        assert Image.open(path).size == Image.open(place / 'masks' / path.name).size


def test_orientation_that_sizes_cannot_decide(run):
    exif = Image.Exif()
    exif[0x0112] = 3
    run.write(lambda image, mask: (image, mask, dict(exif=exif)))
    code, said = run('train')
    assert code == 0 and said.count('has the EXIF orientation 3, and is read turned by it; its mask') == 3


def test_more_classes_than_8_bits_hold(run, place):
    words = [f'{size} {colour} {name}' for size in ('big', 'small') for name in CLASSES
             for colour in ('red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'brown')]
    run.write(lambda image, mask: (image, np.array([65535, 0, 300], np.uint16)[mask]), words[:MANY], False, 65535)
    code, said = run('train')
    assert code == 0, said[-500:]
    assert f'299 of {MANY} classes have no labelled pixel' in said
    code, said = run('test', 'work/iter_4.pth', '--out', 'out', '--show-dir', 'shown')
    assert code == 0, said[-500:]
    assert re.search(r'mIoU: \d', said)
    for path in (place / 'out').iterdir():
        with Image.open(path) as picture:
            assert picture.mode.startswith('I;16') and set(np.unique(picture)) <= set(range(MANY))


def test_limit_of_image_size(run, monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 4000)
    run.write(lambda image, mask: (image, mask))
    code, said = run('train', '--max-pixels', '9215')
    assert code == 2 and '96 x 96 = 9216 pixels, but max_pixels (--max-pixels) is 9215' in said
    assert run('train', '--max-pixels', '9216')[0] == 0

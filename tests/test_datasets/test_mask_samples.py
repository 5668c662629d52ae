"""Values of some masks are checked before training."""
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_mvp.datasets import check_data, mask_samples
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')
STOCK = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
CHECKED = [dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations', num_classes=2)]
TTA = [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=[[dict(type='LoadAnnotations')]])]


def config(root, values, pipeline, **settings):
    """Write one image and mask per value; the mask holds the value beside 0."""
    for index, value in enumerate(values):
        for folder, pixels in (('photos', [[0, 0]] * 2), ('masks', [[0, value]] * 2)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(np.array(pixels, np.uint8)).save(root / folder / f'{index:03d}.png')
    dataset = dict(type='BaseSegDataset', data_root=str(root), img_suffix='.png', metainfo=dict(classes=['sky', 'sea']),
                   data_prefix=dict(img_path='photos', seg_map_path='masks'), pipeline=pipeline)
    return Config(dict(train_dataloader=dict(dataset=dict(dataset, **settings))))


@pytest.mark.parametrize('pipeline', [STOCK, CHECKED, TTA])
def test_value_outside_the_classes_is_named(tmp_path, pipeline):
    assert check_data(config(tmp_path, [1, 255, 0], pipeline)) == []
    with pytest.raises(UserError) as error:
        check_data(config(tmp_path, [1, 255, 2], pipeline))
    assert all(word in str(error.value) for word in ("masks/002.png'", 'label value 2', '2 classes', 'values 0 to 1'))
    assert check_data(config(tmp_path, [1, 255, 2], pipeline), files=False) == []


def test_settings_of_the_data_set_count(tmp_path):
    assert check_data(config(tmp_path, [1, 2], STOCK, reduce_zero_label=True)) == []
    assert check_data(config(tmp_path, [1, 7], STOCK, ignore_index=7)) == []
    with pytest.raises(UserError, match='label value 2'):
        check_data(config(tmp_path, [1, 3], STOCK, reduce_zero_label=True))


def test_samples_are_evenly_spaced(tmp_path, monkeypatch):
    cfg = config(tmp_path, [0] * 40, STOCK)
    loaded = []
    load = mask_samples._load
    monkeypatch.setattr(mask_samples, '_load', lambda results, steps: loaded.append(results['img_path'][-7:-4])
                        or load(results, steps))
    check_data(cfg)
    assert len(loaded) == 16 and (loaded[0], loaded[-1]) == ('000', '039')
    assert {int(b) - int(a) for a, b in zip(loaded, loaded[1:])} <= {2, 3}


@pytest.mark.parametrize('pipeline', [STOCK, CHECKED])
@pytest.mark.parametrize('folder', ['photos', 'masks'])
def test_broken_file(tmp_path, pipeline, folder):
    cfg = config(tmp_path, [0, 0], pipeline)
    (tmp_path / folder / '001.png').write_bytes(b'no picture')
    with pytest.raises(UserError, match=f'{folder}/001.png'):
        check_data(cfg)


@pytest.mark.parametrize('pipeline', [[], STOCK[:1]])
def test_pipeline_without_masks_reads_none(tmp_path, pipeline):
    assert check_data(config(tmp_path, [9], pipeline)) == []

"""PASCAL VOC without background."""
import numpy as np
import pytest
from fixtures.trees import write_image, write_list, write_mask
from mmseg.datasets import PascalVOCDataset

from mmseg_mvp.datasets import PascalVOC20Dataset

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def voc20(root, **kwargs):
    return PascalVOC20Dataset(
        'split.txt', data_root=str(root), data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=[dict(type='LoadCheckedImage'), dict(type='LoadCheckedAnnotations', num_classes=20)], **kwargs)


def test_metainfo_is_vocs_without_background():
    names, palette = PascalVOC20Dataset.METAINFO['classes'], PascalVOC20Dataset.METAINFO['palette']
    assert names == PascalVOCDataset.METAINFO['classes'][1:] and names[0] == 'aeroplane' and len(names) == 20
    assert palette[0] == [128, 0, 0] and palette[19] == [0, 64, 128] and len(palette) == 20


def test_background_and_border_are_ignored(tmp_path):
    write_image(tmp_path / 'images/a.jpg')
    write_mask(tmp_path / 'masks/a.png', [0, 1, 20, 255, 16, 2], palette=True)
    write_list(tmp_path / 'split.txt', ['a'])
    row = voc20(tmp_path)[0]['gt_seg_map'][0, ::16]
    assert row.tolist() == [255, 0, 19, 255, 15, 1]
    some = voc20(tmp_path, metainfo=dict(classes=['tvmonitor', 'aeroplane']))[0]['gt_seg_map'][0, ::16]
    assert some.tolist() == [255, 1, 0, 255, 255, 255] and some.dtype == np.uint8

"""Split files in the forms that people write: mmseg's data set has the same pairs of files for each of them."""
import codecs

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_mvp.datasets import check_data
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')
NAMES = ['a', 'café', 'in/c d']
COLUMNS = [f'/photos/{name}.jpg /masks/{name}.png' for name in NAMES]


@pytest.fixture
def root(tmp_path):
    for name in NAMES:
        for folder, suffix in (('photos', '.jpg'), ('masks', '.png')):
            path = tmp_path / 'data' / folder / (name + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((2, 3), np.uint8)).save(path)
    return tmp_path / 'data'


def config(root, content, **settings):
    (root / 'list.txt').write_bytes(content if isinstance(content, bytes) else content.encode())
    files = dict(type='BaseSegDataset', data_root=str(root), ann_file='list.txt', metainfo=dict(classes=['sky']),
                 data_prefix=dict(img_path='photos', seg_map_path='masks'))
    return Config(dict(train_dataloader=dict(dataset=dict(files, **settings))))


def read(cfg, root):
    """Return the pairs of files that mmseg reads after the check, relative to the root."""
    check_data(cfg)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    return [tuple(sample[key].removeprefix(f'{root}/') for key in ('img_path', 'seg_map_path')) for sample in dataset]


@pytest.mark.parametrize('content', [
    '\n'.join(NAMES), '\r\n'.join(NAMES), '\r'.join(NAMES), '\n\n'.join(['', *NAMES, '', ' \t']),
    ' \t\n'.join(NAMES), *['\n'.join(NAMES).encode(encoding) for encoding in (
        'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-16-be', 'utf-32', 'latin-1')],
    codecs.BOM_UTF16_BE + '\r\n'.join(NAMES).encode('utf-16-be'),
    '\n'.join(f'{name}.jpg' for name in NAMES), '\n'.join(f'{name}.png' for name in NAMES),
    '\n'.join(f'{name}.JPG' for name in NAMES), '\n'.join(f'./{name}' for name in NAMES),
    '\n'.join(f'photos/{name}' for name in NAMES), '\n'.join(f'/photos/{name}.jpg' for name in NAMES),
    'a\ncafé\nin\\c d', '\n'.join(COLUMNS), '\n'.join(line.replace(' /', '\t/') for line in COLUMNS),
    '\n'.join(line.replace(' /', ', ').replace('/photos', 'photos') for line in COLUMNS),
    '\n'.join(f'{name}.jpg {name}.png' for name in NAMES), '\ufeff' + '\r\n'.join([*COLUMNS, '']),
], ids=range(24))
def test_forms_of_one_list(root, content):
    assert read(config(root, content), root) == [(f'photos/{name}.jpg', f'masks/{name}.png') for name in NAMES]


def test_absolute_paths(root):
    content = '\n'.join(f'{root}/photos/{name}.jpg {root}/masks/{name}.png' for name in NAMES)
    assert read(config(root, content), root) == [(f'photos/{name}.jpg', f'masks/{name}.png') for name in NAMES]


def test_list_that_mmseg_reads_right_keeps_its_settings(root):
    cfg = config(root, 'a\r\ncafé \n')
    assert len(read(cfg, root)) == 2 and 'backend_args' not in cfg.train_dataloader.dataset


def test_conversion_holds_without_the_look_for_files(root):
    cfg = config(root, '\ufeffa.jpg\n\n')
    assert check_data(cfg, files=False) == []
    assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 1


def test_suffix_with_text_before_the_dot(root):
    for folder, old, new in (('photos', 'a.jpg', 'a_image.png'), ('masks', 'a.png', 'a_labels.png')):
        (root / folder / old).rename(root / folder / new)
    for line in ('a_image.png', 'a', 'a_image.png a_labels.png'):
        cfg = config(root, line, img_suffix='_image.png', seg_map_suffix='_labels.png')
        assert read(cfg, root) == [('photos/a_image.png', 'masks/a_labels.png')]


@pytest.mark.parametrize('content, words', [
    ('a\n\nb.JPG', ['Line 3 of split file', 'list.txt', "'b.JPG'", '*.jpg', 'img_suffix']),
    ('a\nmasks/a.png', ['Line 2', 'masks/a.png', 'data_prefix.img_path']),
    ('/photos/a.jpg /other/a.png', ['Line 1', "'/other/a.png'", 'masks/a.png', 'data_prefix.seg_map_path']),
    ('a -1', ['Line 1', "second column '-1'", 'one name per line']),
    (' \n\r\n', ['only blank lines']), ('["a", "b"]', ['JSON', 'one image name per line']),
    ('\n{"images": [{"file_name": "a.jpg"}' + ' ' * 10**4 + ']}', ['JSON', 'list.txt']),  # COCO
    (b'\x93NUMPY\x01\0v\0', ['binary', 'list.txt']), ("['a', 'b']", ['JSON']),
    ('a.jpg\nnone.jpg', ['1 of the 2 images', 'photos/none.jpg', 'list.txt']),
    ('тест'.encode('cp1251'), ['1 of the 1 images', 'read as latin-1']),
    ('/photos/none.jpg /masks/none.png', ['1 of the 1 images', "photos/none.jpg'"]),
])
def test_lines_that_fit_no_file(root, content, words):
    (root / 'photos/b.JPG').touch()
    with pytest.raises(UserError) as error:
        check_data(config(root, content))
    said = str(error.value)
    assert all(word in said for word in words) and '\n' not in said and len(said) < 500, said


def test_names_that_begin_with_brackets(root):
    names = ['[1] a', '{3f25} a']
    for name in names:
        for folder, suffix in (('photos', '.jpg'), ('masks', '.png')):
            (root / folder / (name + suffix)).touch()
    found = read(config(root, '\n'.join(names)), root)
    assert [image for image, _ in found] == [f'photos/{name}.jpg' for name in names]

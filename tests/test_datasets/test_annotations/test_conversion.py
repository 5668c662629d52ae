"""The folder of a data set: photos, splits, classes, and what stops a conversion."""
import json
import os
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fixtures.annotations import converted, named, shape, write_json, write_labelme, write_photo
from mmseg.datasets import BaseSegDataset
from PIL import Image

from mmseg_mvp.datasets.annotations import convert
from mmseg_mvp.datasets.annotations.conversion import split
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_names, load_vocabulary

BOX = [[2, 1], [6, 3]]
LOG = 'mmseg_mvp.datasets.annotations.{}.print_log'


@pytest.fixture
def said(monkeypatch):
    """What the log says."""
    lines = []
    for module in ('conversion', 'classes', 'finding'):
        monkeypatch.setattr(LOG.format(module), lambda message, *rest, **more: lines.append(message))
    return lines


def write_pairs(root, names, labels=('tree', )):
    for index, name in enumerate(names):
        write_photo(root / 'photos' / name, seed=index)
        label = labels[index % len(labels)]
        write_labelme(root / 'labels' / f'{Path(name).stem}.json', [shape(label, BOX, 'rectangle')], name)
    return root / 'labels'


def test_folder_is_a_data_set_of_mmseg(tmp_path):
    """mmseg finds each photo and its mask by the split file; the photo's bytes are those of the user."""
    labels = write_pairs(tmp_path, [f'p{index}.jpg' for index in range(10)], ('tree', 'house'))
    made = converted(tmp_path, labels, val=.2)
    assert len(made.train) == 8 and len(made.val) == 2 and not {*made.train} & {*made.val}
    found = []
    for name in ('train', 'val'):
        data = BaseSegDataset(data_root=str(made.root), ann_file=f'{name}.txt', img_suffix=made.img_suffix, pipeline=[],
                              data_prefix=dict(img_path='photos', seg_map_path='masks'),
                              metainfo=dict(classes=class_names(made.root / 'classes.txt')))
        for index in range(len(data)):
            info = data.get_data_info(index)
            found.append(Path(info['img_path']).name)
            assert Path(info['img_path']).read_bytes() == (tmp_path / 'photos' / found[-1]).read_bytes()
            assert Image.open(info['seg_map_path']).size == (12, 10)
    assert sorted(found) == [f'p{index}.jpg' for index in range(10)]


def test_kinds_of_photos_are_stored_as_png(tmp_path):
    labels = write_pairs(tmp_path, ['a.JPG', 'b.png', 'c.bmp'])
    made = converted(tmp_path, labels)
    assert made.img_suffix == '.png' and made.train == ['a', 'b', 'c']
    for stored, name in zip(sorted((made.root / 'photos').iterdir()), ('a.JPG', 'b.png', 'c.bmp')):
        picture = Image.open(stored)
        assert picture.format == 'PNG'
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(tmp_path / 'photos' / name)))


def test_suffixes_that_differ_by_case_are_one(tmp_path):
    made = converted(tmp_path, write_pairs(tmp_path, ['a.JPG', 'b.jpeg', 'c.jpg']))
    assert made.img_suffix == '.jpg' and sorted(path.name for path in (made.root / 'photos').iterdir()) == [
        'a.jpg', 'b.jpg', 'c.jpg']


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('drawn_on', ['turned', 'stored'])
def test_exif_orientation(tmp_path, orientation, drawn_on):
    """A box at the left of the upper row, as drawn on the photo that viewers show, or on the stored pixels."""
    if drawn_on == 'stored' and orientation < 5:
        return  # equal sizes: taken as drawn on the turned photo
    write_photo(tmp_path / 'photos/a.png', (12, 10), orientation)
    size = (10, 12) if orientation > 4 and drawn_on == 'turned' else (12, 10)
    made = converted(tmp_path, write_labelme(tmp_path / 'a.json', [shape('tree', [[0, 0], [3, 1]], 'rectangle')],
                                             size=size))
    drawn = Image.new('1', size)
    drawn.paste(1, (0, 0, 4, 2))
    turns = {5: (Image.Transpose.TRANSPOSE), 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
             8: Image.Transpose.ROTATE_90}
    if drawn_on == 'stored':
        drawn = drawn.transpose(turns[orientation])
    np.testing.assert_array_equal(named(made, 'a') == 'tree', np.array(drawn))


def test_what_is_left_out_is_told(tmp_path, said):
    labels = write_pairs(tmp_path, ['a.png', 'b.png', 'c.png'])
    write_photo(tmp_path / 'photos/new.png')
    (tmp_path / 'photos/c.png').unlink()
    write_labelme(labels / 'b.json', [], 'b.png')
    write_json(labels / 'settings.json', dict(tool='x'))
    made = converted(tmp_path, labels)
    assert made.train == ['a']
    for told in ("1 annotations have no photo and are left out: 'c.png'", 'new.png', 'b.png', 'settings.json'):
        assert any(told in line for line in said), (told, said)


def test_classes_without_pixels_and_similar_spellings_are_told(tmp_path, said):
    labels = write_pairs(tmp_path, ['a.png', 'b.png', 'c.png'], ('Tree', 'tree', 'house'))
    write_labelme(labels / 'c.json', [shape('boat', BOX, 'rectangle'), shape('house', BOX, 'rectangle')], 'c.png')
    made = converted(tmp_path, labels)
    assert made.classes == ['Tree', 'boat', 'house', 'tree', 'background']
    assert any("'Tree', 'tree' differ only by their spelling" in line for line in said)
    assert any("1 classes have no pixel in any photo: 'boat'" in line for line in said)


def test_classes_of_the_caller(tmp_path):
    labels = write_pairs(tmp_path, ['a.png', 'b.png'], ('tree', 'house'))
    made = converted(tmp_path, labels, classes=['house, red house', 'boat', 'tree'])
    assert made.classes == ['house', 'boat', 'tree', 'background'] and named(made, 'a')[2, 3] == 'tree'
    assert load_vocabulary(made.root / 'classes.txt')['house'] == ('house', 'red house')
    with pytest.raises(UserError, match=r"b\.json.*class 'house', which --classes lacks"):
        convert(tmp_path / 'photos', labels, tmp_path / 'other', classes='tree, boat')


@pytest.mark.parametrize('label', ['a # b', '5: tree'])
def test_names_that_a_list_cannot_hold_are_refused(tmp_path, label):
    labels = write_pairs(tmp_path, ['a.png', 'b.png'], (label, '6: house'))
    with pytest.raises(UserError, match='cannot stand in a class list'):
        converted(tmp_path, labels, unlabelled='ignore')


@pytest.mark.parametrize('seed', range(10))
def test_split_keeps_every_class_for_training(seed):
    rng = np.random.default_rng(seed)
    present = {f'p{index}': set(rng.choice(8, 3).tolist()) for index in range(30)}
    train, val = split(present, .2, seed)
    assert len(val) <= 6 and sorted(train + val) == sorted(present)
    assert set().union(*(present[name] for name in train)) == set().union(*present.values())
    reordered = split(dict(reversed(present.items())), .2, seed)
    assert [sorted(part) for part in reordered] == [sorted(train), sorted(val)]


def test_split_holds_out_the_share_if_it_can():
    present = {f'p{index}': {index % 2} for index in range(20)}
    sizes = Counter(len(split(present, .2, seed)[1]) for seed in range(5))
    assert sizes == {4: 5} and len({tuple(split(present, .2, seed)[1]) for seed in range(5)}) > 1
    assert split({'a': {0}}, .9, 0) == (['a'], [])


class TestStops:

    def test_existing_output_stays(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        (tmp_path / 'out').mkdir()
        (tmp_path / 'out/mine').write_text('mine')
        with pytest.raises(UserError, match='exists already'):
            converted(tmp_path, labels)
        assert (tmp_path / 'out/mine').read_text() == 'mine' and len(list((tmp_path / 'out').iterdir())) == 1

    def test_stopped_run_leaves_nothing(self, tmp_path, monkeypatch):
        labels = write_pairs(tmp_path, ['a.png', 'b.png'])
        write, calls = Image.Image.save, []

        def stop(self, path, *args, **kwargs):
            calls.append(path)
            if len(calls) == 2:
                raise KeyboardInterrupt
            write(self, path, *args, **kwargs)

        monkeypatch.setattr(Image.Image, 'save', stop)
        with pytest.raises(KeyboardInterrupt):
            converted(tmp_path, labels)
        assert len(calls) == 2 and sorted(path.name for path in tmp_path.iterdir()) == ['labels', 'photos']

    def test_full_disk(self, tmp_path, monkeypatch):
        labels = write_pairs(tmp_path, ['a.png'])

        def full(*args, **kwargs):
            raise OSError(28, 'No space left on device')

        monkeypatch.setattr('shutil.copyfile', full)
        with pytest.raises(UserError, match='out can\'t be written .No space left on device'):
            converted(tmp_path, labels)

    @pytest.mark.parametrize('content', [b'{"shapes": [', b'', b'\x00\xff\xfe\x00', b'[' * 10**5])
    def test_broken_json(self, tmp_path, content):
        labels = write_pairs(tmp_path, ['a.png'])
        (labels / 'broken.json').write_bytes(content)
        with pytest.raises(UserError, match='broken.json.*cannot be read as JSON'):
            converted(tmp_path, labels)

    def test_utf16_is_read(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'], ('Bäume', ))
        text = json.loads((labels / 'a.json').read_text('utf-8'))
        (labels / 'a.json').write_text(json.dumps(text, ensure_ascii=False), 'utf-16')
        assert converted(tmp_path, labels).classes == ['Bäume', 'background']

    def test_unreadable_photo(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        (tmp_path / 'photos/a.png').write_text('no photo')
        with pytest.raises(UserError, match='a.png cannot be read'):
            converted(tmp_path, labels)

    def test_two_annotations_of_a_photo(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        write_labelme(labels / 'again.json', [shape('tree', BOX, 'rectangle')], 'a.png')
        with pytest.raises(UserError, match='a.png.* has two annotations.*a.json.*again.json'):
            converted(tmp_path, labels)

    def test_kinds_are_not_mixed(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        write_json(labels / 'coco.json', dict(images=[dict(id=1, file_name='a.png')], annotations=[], categories=[]))
        with pytest.raises(UserError, match='several kinds.*a.json.*coco.json'):
            converted(tmp_path, labels)

    def test_archive(self, tmp_path):
        write_pairs(tmp_path, ['a.png'])
        with zipfile.ZipFile(tmp_path / 'export.zip', 'w') as archive:
            archive.writestr('a.json', '{}')
        with pytest.raises(UserError, match='export.zip.*unpack it'):
            converted(tmp_path, tmp_path / 'export.zip')

    def test_no_photo_fits(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        (tmp_path / 'photos/a.png').rename(tmp_path / 'photos/b.png')
        with pytest.raises(UserError, match="a.json.* is of 'a.png', which the folder"):
            converted(tmp_path, labels)

    def test_photos_of_equal_names(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        (tmp_path / 'photos/x').mkdir()
        (tmp_path / 'photos/y').mkdir()
        os.rename(tmp_path / 'photos/a.png', tmp_path / 'photos/x/a.png')
        write_photo(tmp_path / 'photos/y/a.png')
        with pytest.raises(UserError, match='a.json.* fits several photos'):
            converted(tmp_path, labels)

    @pytest.mark.parametrize('options, told', [(dict(unlabelled='none'), "unlabelled is 'none'"),
                                               (dict(val=1), 'val'), (dict(val='x'), 'val')])
    def test_arguments(self, tmp_path, options, told):
        labels = write_pairs(tmp_path, ['a.png'])
        with pytest.raises(UserError, match=told):
            converted(tmp_path, labels, **options)

    def test_missing_paths(self, tmp_path):
        labels = write_pairs(tmp_path, ['a.png'])
        with pytest.raises(UserError, match='nowhere does not exist'):
            converted(tmp_path, tmp_path / 'nowhere')
        with pytest.raises(UserError, match="nowhere' is not a folder of photos"):
            convert(tmp_path / 'nowhere', labels, tmp_path / 'out')

    @pytest.mark.parametrize('package, file', [('pycocotools.mask', 'coco.json'), ('defusedxml.ElementTree', 'a.xml')])
    def test_missing_extra_is_told_with_the_command(self, tmp_path, monkeypatch, package, file):
        write_photo(tmp_path / 'photos/a.png')
        monkeypatch.setitem(sys.modules, package, None)
        (tmp_path / 'a.xml').write_text('<annotations></annotations>')
        write_json(tmp_path / 'coco.json', dict(
            images=[dict(id=1, file_name='a.png')], categories=[dict(id=1, name='tree')],
            annotations=[dict(category_id=1, image_id=1, segmentation=[[0, 0, 5, 0, 5, 5]])]))
        with pytest.raises(UserError, match=r'pip install -e "\.\[annotations\]"'):
            converted(tmp_path, tmp_path / file)

"""Conversion to masks on trees of the published formats, against values that are counted here."""
import json
import pickle
import warnings

import numpy as np
import pytest
from fixtures.builders import file_labels
from fixtures.payloads import write_pickle
from fixtures.refusals import refused
from fixtures.trees import HEIGHT, WIDTH, write_ade20k_full, write_coco_pixel_maps, write_context_mat
from PIL import Image
from scipy.io import savemat

from mmseg_mvp.datasets.conversion.ade20k_full import ade20k_full_jobs, ade20k_full_pictures
from mmseg_mvp.datasets.conversion.ade20k_ids import OBJECT_IDS
from mmseg_mvp.datasets.conversion.coco_object import coco_object_jobs, coco_object_pictures
from mmseg_mvp.datasets.conversion.context459 import context459_jobs, context459_pictures
from mmseg_mvp.vocabularies import class_names, load_vocabulary

# The ids of COCO's 80 things, as in the categories of instances_val2017.json.
COCO_IDS = [*range(1, 12), *range(13, 26), 27, 28, *range(31, 45), *range(46, 66), 67, 70, *range(72, 83),
            *range(84, 91)]
NAMES = [', '.join(words) for words in load_vocabulary('ade20k_847').values()]


def columns(picture):
    """Values of a mask of vertical stripes, from left to right."""
    row = np.asarray(picture)[0]
    return [int(row[0]), *(int(b) for a, b in zip(row, row[1:]) if a != b)]


def write_map(path, values):
    Image.fromarray(np.array([values], np.uint8)).save(path)


class TestCOCOObject:
    def test_every_thing_has_its_place_and_stuff_is_background(self, tmp_path):
        root = write_coco_pixel_maps(tmp_path)
        path = root / 'annotations/val2017/000000000001.png'
        write_map(path, [*range(182), 255])
        job = coco_object_jobs(root, ['val2017'])[0]
        expected = [COCO_IDS.index(value + 1) + 1 if value + 1 in COCO_IDS else 0 for value in range(182)] + [255]
        picture, = coco_object_pictures(job)
        assert np.asarray(picture)[0].tolist() == expected and picture.mode == 'L'
        assert len(COCO_IDS) == 80 and max(expected[:-1]) == 80
        assert class_names('coco_object')[1:] == class_names('coco80')

    def test_targets_lie_beside_the_pixel_maps(self, tmp_path):
        root = write_coco_pixel_maps(tmp_path)
        folder = root / 'annotations/val2017'
        write_map(folder / '000000000001_labelTrainIds.png', [3])  # by MMSegmentation's converter
        jobs = coco_object_jobs(root, ['val2017'])
        assert [job.targets[0].name for job in jobs] == [f'{i:012d}_instanceTrainIds.png' for i in range(1, 5)]
        assert {job.targets[0].parent for job in jobs} == {folder}

    @pytest.mark.parametrize('values', [[182], [254], [3, 200]])
    def test_other_values_are_refused(self, tmp_path, values):
        root = write_coco_pixel_maps(tmp_path, val=1)
        write_map(root / 'annotations/val2017/000000000001.png', values)
        job, = coco_object_jobs(root, ['val2017'])
        refused(lambda: coco_object_pictures(job), '000000000001.png', str(values[-1]), '0 to 181')

    def test_bad_trees(self, tmp_path):
        refused(lambda: coco_object_jobs(tmp_path, ['val2017']), 'val2017', 'no pixel map', 'stuffthingmaps')
        root = write_coco_pixel_maps(tmp_path, val=1)
        refused(lambda: coco_object_jobs(root, ['val2017', 'train2017']), 'train2017')
        (root / 'annotations/val2017/000000000001.png').write_bytes(b'\x89PNG broken')
        job, = coco_object_jobs(root, ['val2017'])
        refused(lambda: coco_object_pictures(job), '000000000001.png', 'cannot be read')


class TestContext459:
    def test_labels_count_from_zero_and_none_is_ignored(self, tmp_path):
        root = write_context_mat(tmp_path)
        for index, job in enumerate(context459_jobs(root, ['val'])):
            picture, = context459_pictures(job)
            assert columns(picture) == [65535, 0, 254, 255, 299 + index, 458]
            assert picture.size == (WIDTH, HEIGHT) and picture.mode == 'I;16'
            assert job.targets == (root / f'SegmentationClassContext459/{job.sources[0].stem}.png', )

    @pytest.mark.parametrize('content, words', [
        (dict(LabelMap=np.array([[460]], np.uint16)), ('460', '0 to 459')),
        (dict(LabelMap=np.array([[-1]], np.int16)), ('-1', )), (dict(LabelMap=np.array([[0.5]])), ('float64', )),
        (dict(LabelMap=np.zeros((2, 2, 2), np.uint8)), ('(2, 2, 2)', )), (dict(LabelMap='text'), ('<U4', )),
        (dict(LabelMap=np.array([['a', 'bc']], object)), ('object', )), (dict(other=1), ('KeyError', 'LabelMap')),
        (dict(LabelMap=np.zeros((0, 3))), ('(0, 3)', ))], ids=str)
    def test_other_contents_are_refused(self, tmp_path, content, words):
        root = write_context_mat(tmp_path, val=1)
        job, = context459_jobs(root, ['val'])
        savemat(job.sources[0], content)
        refused(lambda: context459_pictures(job), job.sources[0].name, *words)

    @pytest.mark.parametrize('content', [b'', b'MATLAB 7.3 MAT-file', b'\x80\x04N.', b'<html>', b'\0' * 200])
    def test_other_files_are_refused(self, tmp_path, content):
        root = write_context_mat(tmp_path, val=1)
        job, = context459_jobs(root, ['val'])
        job.sources[0].write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            refused(lambda: context459_pictures(job), job.sources[0].name, 'cannot be read', 'LabelMap')

    def test_a_pickle_in_place_of_a_mat_file_is_not_run(self, tmp_path):
        root = write_context_mat(tmp_path, val=1)
        job, = context459_jobs(root, ['val'])
        proof = write_pickle(job.sources[0])
        refused(lambda: context459_pictures(job), 'cannot be read')
        assert not proof.exists()

    def test_bad_trees(self, tmp_path):
        refused(lambda: context459_jobs(tmp_path, ['val']), 'val.txt', 'VOC2010')
        root = write_context_mat(tmp_path, val=2)
        (root / 'trainval/2008_000001.mat').unlink()
        refused(lambda: context459_jobs(root, ['val']), '1 of the 2', '2008_000001.mat')


class TestADE20KFull:
    def test_objects_become_classes(self, tmp_path):
        root = write_ade20k_full(tmp_path, OBJECT_IDS, NAMES)
        jobs = ade20k_full_jobs(root, ['validation'])
        for index, job in enumerate(jobs):
            image, mask = ade20k_full_pictures(job)
            assert columns(mask) == [65535, index, index + 1, index + 2, index + 3]
            assert image.size == mask.size == (WIDTH, HEIGHT) and mask.mode == 'I;16'
        assert [target.relative_to(root).as_posix() for target in jobs[1].targets] == [
            'images_detectron2/validation/ADE_val_00000002.jpg',
            'annotations_detectron2/validation/ADE_val_00000002.tif']
        assert ade20k_full_jobs(root, ['training']) == []

    def test_the_short_side_becomes_512(self, tmp_path):
        root = write_ade20k_full(tmp_path, OBJECT_IDS, NAMES, val=1)
        job, = ade20k_full_jobs(root, ['validation'])
        for source in job.sources:
            Image.open(source).resize((900, 1024), Image.NEAREST).save(source)
        image, mask = ade20k_full_pictures(job)
        assert image.size == mask.size == (512, 583)
        assert columns(mask) == [65535, 0, 1, 2, 3]

    def test_ids_are_847_different_ones_with_names(self):
        assert len(OBJECT_IDS) == len({*OBJECT_IDS}) == len(NAMES) == len({*NAMES}) == 847
        known = dict(zip(NAMES, OBJECT_IDS))  # of the release, in alphabetical order but for late additions
        assert (known['wall'], known['sky'], known['bed'], known['car, auto, automobile, machine, motorcar']) == (
            2978, 2420, 165, 401)
        early = [name for name, number in sorted(known.items(), key=lambda pair: pair[1]) if number < 3140]
        disorder = sum(a.lower() > b.lower() for a, b in zip(early, early[1:]))
        assert disorder < 0.02 * len(early)

    @pytest.mark.parametrize('change, words', [
        (dict(objectnames=['wall']), ('Object', 'missing')),
        (dict(filename=['ADE_val_1.jpg']), ('one folder for each', )),
        (dict(folder=['ADE20K_2021_17_01/../../etc'] * 4), ('folder', )), (dict(folder=['/etc/x'] * 4), ('folder', )),
        (dict(filename=['ADE_val_/../x.jpg'] * 4), ('ADE_val_00000001.jpg', )),
        (dict(folder=3), ('lists of strings', )),
        (dict(filename=[b'x'] * 4), ('lists of strings', ))], ids=str)
    def test_other_indices_are_refused(self, tmp_path, change, words):
        root = write_ade20k_full(tmp_path, OBJECT_IDS, NAMES)
        path = root / 'index_ade20k.pkl'
        path.write_bytes(pickle.dumps(dict(pickle.loads(path.read_bytes()), **change)))
        refused(lambda: ade20k_full_jobs(root, ['validation']), 'index_ade20k.pkl', *words)

    def test_names_of_another_release_are_refused(self, tmp_path):
        root = write_ade20k_full(tmp_path, OBJECT_IDS, ['door', *NAMES[1:]])
        refused(lambda: ade20k_full_jobs(root, ['validation']), 'Object 2978', "'door'", "'wall'")

    def test_code_in_the_index_is_not_run(self, tmp_path):
        root = write_ade20k_full(tmp_path, OBJECT_IDS, NAMES)
        proof = write_pickle(root / 'index_ade20k.pkl')
        refused(lambda: ade20k_full_jobs(root, ['validation']), 'index_ade20k.pkl', 'cannot be read')
        assert not proof.exists()
        (root / 'index_ade20k.pkl').write_bytes(json.dumps({}).encode())
        refused(lambda: ade20k_full_jobs(root, ['validation']), 'index_ade20k.pkl')

    def test_missing_and_damaged_files(self, tmp_path):
        refused(lambda: ade20k_full_jobs(tmp_path, ['validation']), 'index_ade20k.pkl', 'missing')
        root = write_ade20k_full(tmp_path, OBJECT_IDS, NAMES)
        jobs = ade20k_full_jobs(root, ['validation'])
        jobs[0].sources[1].write_bytes(b'\x89PNG')
        refused(lambda: ade20k_full_pictures(jobs[0]), jobs[0].sources[1].name, 'cannot be read')
        Image.new('RGB', (5, 5)).save(jobs[1].sources[1])
        refused(lambda: ade20k_full_pictures(jobs[1]), 'differ in size')
        jobs[2].sources[1].unlink()
        refused(lambda: ade20k_full_jobs(root, ['validation']), '1 files', jobs[2].sources[1].name)


def test_a_palette_in_place_of_a_grey_mask_keeps_indices(tmp_path):
    root = write_coco_pixel_maps(tmp_path, val=1)
    path = root / 'annotations/val2017/000000000001.png'
    mask = Image.fromarray(file_labels(path).astype(np.uint8))
    mask.putpalette(bytes(range(255, -1, -1)) * 3)
    expected, = coco_object_pictures(coco_object_jobs(root, ['val2017'])[0])
    mask.save(path)
    found, = coco_object_pictures(coco_object_jobs(root, ['val2017'])[0])
    assert np.array_equal(found, expected)

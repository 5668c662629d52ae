"""PASCAL-5i, COCO-20i and FSS-1000 with handwritten lists in the format of HSNet."""
import json
import os
import pickle
import shutil

import numpy as np
import pytest
from fixtures.trees import FSS_CATEGORIES, write_coco20i, write_fss1000, write_list, write_pascal5i

from mmseg_mvp.datasets import COCO20iDataset, FSS1000Dataset, PASCAL5iDataset
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import class_names, load_vocabulary

PLAIN = dict(pipeline=[], serialize_data=False)  # mmengine collects garbage when it serializes


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Write a read-only tree of each data set."""
    return {'pascal': write_pascal5i(tmp_path_factory.mktemp('voc')),
            'coco': write_coco20i(tmp_path_factory.mktemp('coco')),
            'fss': write_fss1000(tmp_path_factory.mktemp('fss'))}


@pytest.fixture
def with_lists(roots, tmp_path):
    """Create roots with their own lists and the images of the shared trees."""

    def make(kind):
        root = tmp_path / kind
        root.mkdir()
        for path in roots[kind].iterdir():
            shutil.copytree(path, root / 'splits') if path.name == 'splits' else (root / path.name).symlink_to(path)
        return root

    return make


def pascal(root, fold=0, **kwargs):
    return PASCAL5iDataset(fold=fold, list_dir='splits/pascal', data_root=str(root), **PLAIN,
                           data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'), **kwargs)


def coco(root, fold=0, **kwargs):
    return COCO20iDataset(fold=fold, list_dir='splits/coco', data_root=str(root), **PLAIN,
                          data_prefix=dict(img_path='', seg_map_path='annotations'), **kwargs)


def fss(root, **kwargs):
    return FSS1000Dataset(list_dir='splits/fss', data_root=str(root), **PLAIN, **kwargs)


def pairs(dataset, depth=1):
    """Return the last ``depth`` parts of the image path without suffix, and the class name, of each sample."""
    samples = [dataset.get_data_info(index) for index in range(len(dataset))]
    return [('/'.join(one['img_path'][:-4].split('/')[-depth:]), class_names(one['vocabulary'])[1]) for one in samples]


def refused(build, *args, **kwargs):
    with pytest.raises(UserError) as error:
        build(*args, **kwargs)
    assert '\n' not in str(error.value)
    return str(error.value)


class TestPascal:

    def test_a_list_by_hand(self, with_lists):
        root = with_lists('pascal')
        write_list(root / 'splits/pascal/val/fold3.txt', [
            '2007_000020__20', '2007_000016__16', '2007_000017__17', '2007_000020__18', '2007_000001__19'])
        dataset = pascal(root, 3)
        assert pairs(dataset) == [('2007_000020', 'tvmonitor'), ('2007_000016', 'pottedplant'),
                                  ('2007_000017', 'sheep'), ('2007_000020', 'sofa'), ('2007_000001', 'train')]
        first = dataset.get_data_info(0)
        assert first['vocabulary'] == ['others', 'tvmonitor = tv monitor'] and first['foreground'] == (20, 20)
        assert first['img_path'] == str(root / 'JPEGImages/2007_000020.jpg')
        assert first['seg_map_path'] == str(root / 'SegmentationClassAug/2007_000020.png')
        assert dataset.metainfo['classes'] == ('others', 'object') and len(dataset.metainfo['palette']) == 2
        assert dataset.metainfo['episode_classes'] == ['pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor']

    @pytest.mark.parametrize('fold', range(4))
    def test_a_fold_tests_five_neighbours_and_trains_on_the_lists_of_the_others(self, roots, fold):
        voc = class_names('voc20')
        neighbours = voc[5 * fold:5 * fold + 5]
        assert pairs(pascal(roots['pascal'], fold)) == [
            *((f'2007_{voc.index(name) + 1:06d}', name) for name in neighbours),
            (f'2007_{5 * fold + 1:06d}', neighbours[1])]
        trained = pairs(pascal(roots['pascal'], fold, split='train'))
        others = [name for name in voc if name not in neighbours]
        assert len(trained) == 3 * 6 and list(dict.fromkeys(name for _, name in trained)) == others
        assert {image[:4] for image, _ in trained} == {'2008'}

    def test_the_papers_episodes_begin_the_list_again(self, with_lists):
        root = with_lists('pascal')
        write_list(root / 'splits/pascal/val/fold1.txt', [
            *(f'2007_0000{label:02d}__{label:02d}' for label in range(6, 11)), '2007_000006__08', '2007_000009__10'])
        once, paper = pairs(pascal(root, 1)), pairs(pascal(root, 1, episodes='paper'))
        assert len(once) == 7 and len(paper) == 1000
        assert [paper[index] for index in (0, 6, 7, 13, 999)] == [once[index] for index in (0, 6, 0, 6, 5)]
        assert paper == (once * 143)[:1000]

    def test_a_long_list_is_cut(self, with_lists):
        root = with_lists('pascal')
        lines = [f'2007_0000{label:02d}__{label:02d}' for label in range(11, 16)] * 300
        write_list(root / 'splits/pascal/val/fold2.txt', lines)
        assert len(pascal(root, 2)) == 1500
        assert pairs(pascal(root, '2', episodes='paper')) == pairs(pascal(root, 2))[:1000]

    def test_names_as_the_data_set_says_them(self, roots):
        dataset = pascal(roots['pascal'], 3, vocabulary=class_names('voc20'))
        assert load_vocabulary(dataset.get_data_info(0)['vocabulary'])['pottedplant'] == ('pottedplant',)
        assert load_vocabulary(pascal(roots['pascal'], 3).get_data_info(0)['vocabulary']) == {
            'others': ('others',), 'pottedplant': ('potted plant',)}
        assert 'has 59 classes: list all 20' in refused(pascal, roots['pascal'], vocabulary='context59')

    @pytest.mark.parametrize('line, words', [
        ('2007_000004', ["Line 3 of list", "'2007_000004'", '2007_000033__01']),
        ('2007_000004__x', ["'2007_000004__x'"]),
        ('2007_000004 __04', ['Line 3']),
        ('../2007_000004__04', ['Line 3']),
        ('2007_000004__00', ["'2007_000004__00'", '1 to 5']),
        ('2007_000004__06', ["'2007_000004__06'", '1 to 5'])])
    def test_a_malformed_line_is_named(self, with_lists, line, words):
        root = with_lists('pascal')
        path = root / 'splits/pascal/val/fold0.txt'
        write_list(path, ['2007_000001__01', '', line, '2007_000005__05'])
        said = refused(pascal, root)
        assert str(path) in said and all(word in said for word in words)

    def test_missing_and_empty_lists(self, with_lists):
        root = with_lists('pascal')
        (root / 'splits/pascal/trn/fold2.txt').write_text('\n')
        assert 'trn/fold2.txt' in (said := refused(pascal, root, split='train')) and 'is empty' in said
        (root / 'splits/pascal/trn/fold2.txt').unlink()
        assert 'trn/fold2.txt' in (said := refused(pascal, root, split='train')) and 'is missing: copy' in said
        assert len(pascal(root, 2, split='train')) == 18  # training omits the list of its own fold

    def test_a_list_that_is_no_text(self, with_lists):
        root = with_lists('pascal')
        (root / 'splits/pascal/val/fold0.txt').write_bytes(b'\xff\xfe\x00')
        assert 'not a text file' in refused(pascal, root)

    def test_a_class_without_images(self, with_lists):
        root = with_lists('pascal')
        write_list(root / 'splits/pascal/val/fold0.txt', ['2007_000001__01', '2007_000002__02', '2007_000005__05'])
        said = refused(pascal, root)
        assert "Class 2 ('bird') has no image" in said and '2 such classes' in said

    def test_missing_files_are_counted_and_the_first_named(self, tmp_path):
        root = write_pascal5i(tmp_path)
        (root / 'SegmentationClassAug/2007_000003.png').unlink()
        (root / 'JPEGImages/2007_000004.jpg').unlink()
        said = refused(pascal, root)
        assert '2 of the 10 images and masks' in said and '2007_000003.png' in said
        shutil.rmtree(root / 'JPEGImages')
        assert '6 of the 10' in (said := refused(pascal, root)) and '2007_000001.jpg' in said


@pytest.mark.parametrize('kind', ['pascal', 'coco', 'fss'])
def test_settings_that_do_not_exist(roots, kind):
    build = dict(pascal=pascal, coco=coco, fss=fss)[kind]
    assert "split is 'val2014': set it to train, " in refused(build, roots[kind], split='val2014')
    assert "episodes is 'most': set it to all, paper" in refused(build, roots[kind], episodes='most')
    assert "split is 'train': set episodes='all'" in refused(build, roots[kind], split='train', episodes='paper')
    for fold in (4, -1, '5', 'abc', '', None, 1.5, True) if kind != 'fss' else ():
        assert f'fold is {fold!r}: it must be 0, 1, 2 or 3' in refused(build, roots[kind], fold)


def published_draw(lists, classes):
    """Draw episodes as the published test, by the global generator of NumPy."""
    np.random.seed(0)
    for _ in range(1000):
        label = np.random.choice(classes, 1, replace=False)[0]
        yield np.random.choice(lists[label], 1, replace=False)[0][:-4], class_names('coco80')[label]


class TestCoco:

    @pytest.mark.parametrize('fold', range(4))
    def test_every_fourth_class_is_tested(self, roots, fold):
        names = class_names('coco80')
        tested = [name for index, name in enumerate(names) if index % 4 == fold]
        found = pairs(coco(roots['coco'], fold), depth=2)
        assert len(found) == 40 and [name for _, name in found] == [name for name in tested for _ in range(2)]
        assert [image for image, _ in found[:2]] == [
            f'val2014/COCO_val2014_{index:012d}' for index in (fold, fold + 80)]
        trained = coco(roots['coco'], fold, split='train')
        assert trained.metainfo['episode_classes'] == [name for name in names if name not in tested]
        assert pairs(trained, depth=2) == [(f'train2014/COCO_train2014_{index:012d}', name)
                                           for index, name in enumerate(names) if name not in tested]

    def test_masks_count_classes_from_one(self, roots):
        sample = coco(roots['coco'], 3).get_data_info(2)
        assert sample['vocabulary'] == ['others', 'truck'] and sample['foreground'] == (8, 8)
        assert sample['seg_map_path'] == str(roots['coco'] / 'annotations/val2014/COCO_val2014_000000000007.png')

    def test_the_papers_episodes_are_the_published_draw(self, with_lists):
        root = with_lists('coco')
        path = root / 'splits/coco/val/fold2.pkl'
        lists = pickle.loads(path.read_bytes())
        names = [name for images in lists.values() for name in images]
        lists = {label: names[-label:] + names[:label] for label in reversed(lists)}  # unequal lengths, other order
        path.write_bytes(pickle.dumps(lists))
        found = pairs(coco(root, 2, episodes='paper'), depth=2)
        assert found == list(published_draw(lists, list(range(2, 80, 4)))) and len(set(found)) > 300
        np.random.seed(7)  # the draw is independent of the global state, and keeps it
        state = np.random.get_state()[1].tolist()
        assert pairs(coco(root, 2, episodes='paper'), depth=2) == found
        assert np.random.get_state()[1].tolist() == state

    @pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
    def test_every_pickle_protocol(self, with_lists, protocol):
        root = with_lists('coco')
        path = root / 'splits/coco/val/fold1.pkl'
        before = pairs(coco(root, 1))
        path.write_bytes(pickle.dumps(pickle.loads(path.read_bytes()), protocol))
        assert pairs(coco(root, 1)) == before

    def test_json_serves_as_well(self, with_lists):
        root = with_lists('coco')
        path = root / 'splits/coco/val/fold1.pkl'
        before = pairs(coco(root, 1, episodes='paper'))
        path.with_suffix('.json').write_text(json.dumps(pickle.loads(path.read_bytes())))
        path.unlink()
        assert pairs(coco(root, 1, episodes='paper')) == before
        path.with_suffix('.json').write_text('{"1": [')
        assert 'fold1.json' in (said := refused(coco, root, 1)) and 'cannot be read' in said

    def test_a_payload_does_not_run(self, with_lists, tmp_path):
        root, made = with_lists('coco'), tmp_path / 'made'
        payload = pickle.dumps({1: [Payload(made)]})
        pickle.loads(payload)
        assert made.is_file()  # the payload works
        made.unlink()
        (root / 'splits/coco/val/fold0.pkl').write_bytes(payload)
        said = refused(coco, root)
        assert not made.exists() and 'fold0.pkl' in said and f'{os.name}.system' in said and 'only dicts, lists' in said

    @pytest.mark.parametrize('content, words', [
        (np.arange(3), ['numpy']),
        ({0: np.array(['val2014/a.jpg'])}, ['numpy']),
        (['val2014/COCO_val2014_000000000001.jpg'], ['dict from class to image names']),
        ({}, ['dict from class']),
        ({80: ['val2014/COCO_val2014_000000000001.jpg']}, ['class 80', '0 to 79']),
        ({-4: []}, ['class -4']),
        ({'person': []}, ["class 'person'"]),
        ({0: 'val2014/COCO_val2014_000000000001.jpg'}, ['Class 0', 'expected a list']),
        ({4: ['val2014/COCO_val2014_000000000001.jpg', 7]}, ['Entry 1 of class 4', ' 7:']),
        ({4: ['COCO_val2014_000000000001.jpg']}, ['Entry 0 of class 4', "'COCO_val2014"]),
        ({4: ['../val2014/COCO_val2014_000000000001.jpg']}, ['Entry 0 of class 4'])])
    def test_other_contents(self, with_lists, content, words):
        root = with_lists('coco')
        (root / 'splits/coco/val/fold0.pkl').write_bytes(pickle.dumps(content))
        said = refused(coco, root)
        assert 'val/fold0.pkl' in said and all(word in said for word in words)

    @pytest.mark.parametrize('damage, word', [('cut', 'cannot be read'), ('text', 'cannot be read'),
                                              ('empty', 'is empty'), ('missing', 'is missing')])
    def test_damaged_lists(self, with_lists, damage, word):
        root = with_lists('coco')
        path = root / 'splits/coco/trn/fold3.pkl'
        content = path.read_bytes()
        path.unlink()
        if damage != 'missing':
            path.write_bytes(dict(cut=content[:len(content) // 2], text=b'no pickle', empty=b'')[damage])
        assert word in (said := refused(coco, root, 3, split='train')) and 'trn/fold3.pkl' in said

    def test_a_class_without_images(self, with_lists):
        root = with_lists('coco')
        path = root / 'splits/coco/val/fold0.pkl'
        path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), 8: []}))
        assert "Class 8 ('boat') has no image" in refused(coco, root)

    def test_missing_files(self, tmp_path):
        root = write_coco20i(tmp_path)
        shutil.rmtree(root / 'annotations/val2014')
        said = refused(coco, root)
        assert '40 of the 80' in said and 'annotations/val2014/COCO_val2014_000000000000.png' in said


class Payload:
    """Object that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'echo > {self.path}',)


class TestFSS:

    @pytest.mark.parametrize('split, name', [('train', 'trn'), ('val', 'val'), ('test', 'test')])
    def test_ten_images_of_each_category(self, roots, split, name):
        found = pairs(fss(roots['fss'], split=split), depth=2)
        assert found == [(f'{category}/{number}', category) for category in sorted(FSS_CATEGORIES[name])
                         for number in range(1, 11)]
        if split != 'train':
            assert pairs(fss(roots['fss'], split=split, episodes='paper'), depth=2) == found

    def test_folders_are_said_as_words(self, roots):
        sample = fss(roots['fss']).get_data_info(0)
        assert load_vocabulary(sample['vocabulary']) == {
            'others': ('others',), "abe's_flyingfish": ("abe's flyingfish",)}
        assert sample['foreground'] == (128, 255) and sample['seg_map_path'].endswith("FSS-1000/abe's_flyingfish/1.png")

    @pytest.mark.parametrize('line', ['a/b', '..\\b', 'bus', 'bus, coach', 'a = b'])
    def test_a_malformed_line_is_named(self, with_lists, line):
        root = with_lists('fss')
        write_list(root / 'splits/fss/test.txt', ['bus', line])
        assert f'Line 2 of list {str(root / "splits/fss/test.txt")!r} is {line!r}' in refused(fss, root)

    def test_a_missing_category(self, tmp_path):
        root = write_fss1000(tmp_path)
        shutil.rmtree(root / 'bus')
        assert '20 of the 60' in (said := refused(fss, root)) and 'bus/1.jpg' in said

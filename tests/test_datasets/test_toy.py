"""The toy world: what is drawn, what is said of it, and how mmseg sees it."""
import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Outline
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_mvp.datasets.toy.captions import (
    FRAMES,
    Caption,
    describe_object,
    describe_scene,
    describe_whole,
    grammar_words,
    object_facts,
    truth_table,
)
from mmseg_mvp.datasets.toy.dataset import ToySceneDataset
from mmseg_mvp.datasets.toy.scenes import CLASSES, IGNORE, draw_scene
from mmseg_mvp.datasets.toy.shapes import OPTIONAL_PARTS, SHAPES, part_names
from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import UNSEEN, class_names, load_vocabulary

pytestmark = pytest.mark.usefixtures('mmseg_scope')

TEMPLATES = ('a photo of a {}.', 'the {} in the scene.')
PIPELINE = [dict(type='DrawToyScene')]


def brute_force_labels(scene, size):
    """Label of each pixel: the last polygon that holds its middle, by matplotlib's point-in-polygon test."""
    y, x = np.mgrid[:size, :size] + .5
    labels = np.full(size * size, IGNORE)
    for thing in scene.objects:
        for _, points in thing.polygons:
            labels[Outline(points).contains_points(np.stack([x.ravel(), y.ravel()], 1))] = CLASSES.index(thing.name)
    return labels.reshape(size, size)


def names_in(text):
    """Class names in a caption, by plain search for whole words."""
    padded = f' {text.replace(".", " ").replace(",", " ")} '
    return {name for name in CLASSES if f' {name} ' in padded}


def test_same_index_same_picture_and_splits_differ():
    first, again = draw_scene(7, 'test'), draw_scene(7, 'test')
    assert (first.image == again.image).all() and (first.labels == again.labels).all()
    pictures = {draw_scene(index, split).image.tobytes() for split in ('pretrain', 'train', 'val', 'test')
                for index in range(50)}
    assert len(pictures) == 200


def test_labels_agree_with_an_independent_rasteriser():
    agreement = []
    for index in range(40):
        scene = draw_scene(index, 'val')
        expected = brute_force_labels(scene, 64)
        object_pixels = (expected != IGNORE) | (scene.labels != IGNORE)
        agreement.append((expected == scene.labels)[object_pixels].mean())
    # Rasterisers differ along outlines only, and parts are a few pixels wide. Pillow's own changes with its version.
    assert np.mean(agreement) > .84


def test_image_changes_where_labels_say_so():
    """Two pictures of one composition in two sizes: labels must fall on the same places."""
    small, large = draw_scene(3, 'train', 64), draw_scene(3, 'train', 256)
    assert [thing.name for thing in small.objects] == [thing.name for thing in large.objects]
    disagreement = (small.labels != large.labels[2::4, 2::4]).mean()
    assert disagreement < .08 and set(np.unique(small.labels)) == set(np.unique(large.labels))


def test_every_class_appears_and_one_to_three_objects():
    scenes = [draw_scene(index, 'val') for index in range(300)]
    counts = np.bincount([len(scene.objects) for scene in scenes])
    assert len(counts) == 4 and counts[0] == 0 and (counts[1:] > 30).all()
    assert set(np.unique(np.concatenate([scene.labels.ravel() for scene in scenes]))) == {*range(20), IGNORE}


def test_labels_hold_exactly_the_objects():
    for index in range(100):
        scene = draw_scene(index, 'train')
        drawn = {CLASSES[label] for label in np.unique(scene.labels) if label != IGNORE}
        assert drawn == {thing.name for thing in scene.objects}


def test_drawing_is_fast():
    start = time.process_time()
    for index in range(200):
        draw_scene(index, 'train')
    assert (time.process_time() - start) / 200 < .005


def test_unknown_split_is_a_user_error():
    with pytest.raises(UserError, match="no split 'tset': choose one of pretrain, train, val, test"):
        draw_scene(0, 'tset')


def test_scene_captions_name_exactly_the_classes_in_the_mask():
    rng = np.random.default_rng(0)
    for index in range(100):
        scene = draw_scene(index, 'train')
        expected = {CLASSES[label] for label in np.unique(scene.labels) if label != IGNORE}
        assert names_in(describe_scene(scene, rng).text) == expected


def test_object_captions_name_only_their_object_and_its_own_colours():
    rng = np.random.default_rng(0)
    for index in range(100):
        for thing in draw_scene(index, 'train').objects:
            caption = describe_object(thing, rng)
            assert names_in(caption.text) == {thing.name}
            told = [fact.split(':') for fact in caption.claims[0] if ':' in fact]
            assert all(value in caption.text.replace('.', '').split() for _, value in told)
            assert all(value in (thing.colours if part == 'has' else {thing.colours[part]}) for part, value in told)


def test_whole_captions_are_scenes_or_templates_of_the_bare_name():
    rng, scene = np.random.default_rng(0), draw_scene(1, 'train')
    names = {thing.name for thing in scene.objects}
    texts = [describe_whole(scene, rng, TEMPLATES).text for _ in range(200)]
    bare = {template.format(name) for template in TEMPLATES for name in names}
    assert bare <= set(texts) and all(names_in(text) == names for text in set(texts) - bare)


def test_truth_table_by_hand():
    red_house, blue_house = frozenset({'house', 'roof:red'}), frozenset({'house', 'roof:blue'})
    facts = [[red_house, frozenset({'key'})], [blue_house], [frozenset({'key', 'roof:red'})]]
    captions = [Caption('a house.', (frozenset({'house'}),)), Caption('a house with a red roof.', (red_house,)),
                Caption('a key and a house.', (frozenset({'key'}), frozenset({'house'}))),
                Caption('a boat.', (frozenset({'boat'}),))]
    expected = [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert truth_table(captions, facts).tolist() == np.array(expected, bool).tolist()


def test_captions_are_true_of_their_own_picture():
    rng = np.random.default_rng(1)
    scenes = [draw_scene(index, 'train') for index in range(60)]
    facts = [[object_facts(thing) for thing in scene.objects] for scene in scenes]
    for captions in ([describe_scene(scene, rng) for scene in scenes],
                     [describe_whole(scene, rng, TEMPLATES) for scene in scenes],
                     [describe_object(scene.objects[0], rng) for scene in scenes]):
        assert truth_table(captions, facts).diagonal().all()


def test_grammar_words_cover_the_tokens_of_captions():
    from open_clip import SimpleTokenizer
    tokenizer, rng = SimpleTokenizer(context_length=32), np.random.default_rng(2)
    known = set(tokenizer(grammar_words(TEMPLATES)).flatten().tolist())
    scenes = [draw_scene(index, 'train') for index in range(150)]
    texts = [describe_scene(scene, rng).text for scene in scenes]
    texts += [describe_whole(scene, rng, TEMPLATES).text for scene in scenes]
    texts += [describe_object(scene.objects[0], rng).text for scene in scenes]
    assert set(tokenizer(texts).flatten().tolist()) <= known
    assert len(known) < 400 and len(FRAMES) > 1


def test_every_class_has_parts_to_colour():
    assert all(part_names(name) for name in SHAPES)
    assert part_names('house') == ['walls', 'roof', 'door']


def test_a_lost_part_is_neither_drawn_nor_told():
    things = [thing for index in range(300) for thing in draw_scene(index, 'train').objects]
    lost = [set(part_names(thing.name)) - {part for part, _ in thing.polygons} for thing in things]
    assert all(parts <= OPTIONAL_PARTS and len(parts) <= 1 for parts in lost)
    assert .2 < np.mean([len(parts) for parts in lost]) < .4
    assert all(not parts & set(thing.colours) for thing, parts in zip(things, lost))
    cars = [thing for thing in things if thing.name == 'car']
    without = [thing for thing in cars if 'wheels' not in thing.colours]
    assert {len(thing.polygons) for thing in cars if len(thing.colours) == 3} == {8}
    assert without and {len(thing.polygons) for thing in without} == {4}  # the hub caps went with the wheels


def test_vocabulary_and_split_agree_with_the_data_set():
    assert class_names('toy') == list(ToySceneDataset.METAINFO['classes'])
    assert list(load_vocabulary('toy')) == list(CLASSES)
    assert len(class_names('toy:seen')) == 15 and set(UNSEEN['toy']) < set(CLASSES)
    palette = ToySceneDataset.METAINFO['palette']
    assert len({tuple(colour) for colour in palette}) == 20


def test_entry_is_as_mmcv_would_load_it():
    dataset = ToySceneDataset(num_images=20, split='test', pipeline=PIPELINE)
    results, scene = dataset[12], draw_scene(12, 'test')
    assert len(dataset) == 20 and results['img_path'] == 'toy_test_000012.png'
    assert (results['img'][..., ::-1] == scene.image).all() and results['img'].dtype == np.uint8
    assert (results['gt_seg_map'] == scene.labels).all() and results['seg_fields'] == ['gt_seg_map']
    assert results['img_shape'] == results['ori_shape'] == (64, 64)


def test_seen_classes_are_renumbered_and_unseen_become_ignored():
    seen = class_names('toy:seen')
    dataset = ToySceneDataset(num_images=60, metainfo=dict(classes=seen), pipeline=PIPELINE)
    assert list(dataset.metainfo['classes']) == seen
    found = set()
    for index in range(60):
        labels, mapped = draw_scene(index, 'train').labels, dataset[index]['gt_seg_map']
        for label in np.unique(labels):
            name = None if label == IGNORE else CLASSES[label]
            expected = seen.index(name) if name in seen else IGNORE
            assert (mapped[labels == label] == expected).all()
            found.add(name)
    assert found & set(UNSEEN['toy']) and found >= set(seen)


@pytest.mark.parametrize('wrong', [dict(num_images=0), dict(num_images=4, split='holdout'), dict(num_images=4, size=0)])
def test_wrong_arguments_are_user_errors(wrong):
    with pytest.raises(UserError):
        ToySceneDataset(**wrong)


def test_config_builds_and_packs():
    cfg = Config.fromfile(Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'toy_zs.py')
    train = DATASETS.build(cfg.train_dataloader.dataset)
    test = DATASETS.build(cfg.test_dataloader.dataset)
    assert list(train.metainfo['classes']) == class_names('toy:seen') and len(test) == 500
    sample = train[0]
    assert tuple(sample['inputs'].shape) == (3, 64, 64)
    assert sample['data_samples'].gt_sem_seg.shape == (64, 64)

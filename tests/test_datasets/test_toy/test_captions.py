"""Captions of toy scenes, and their truth."""
import numpy as np

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
from mmseg_mvp.datasets.toy.scenes import CLASSES, IGNORE, draw_scene

TEMPLATES = ('a photo of a {}.', 'the {} in the scene.')


def names_in(text):
    """Find class names in a caption by a search for whole words."""
    padded = f' {text.replace(".", " ").replace(",", " ")} '
    return {name for name in CLASSES if f' {name} ' in padded}


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

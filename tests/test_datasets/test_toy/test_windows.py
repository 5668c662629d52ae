"""Windows of toy scenes: what they show, counted pixel by pixel, and their captions."""
import cv2
import numpy as np

from mmseg_mvp.datasets.toy.captions import grammar_words
from mmseg_mvp.datasets.toy.scenes import CLASSES, IGNORE, Scene, ToyObject, draw_scene
from mmseg_mvp.datasets.toy.windows import LEAST_PIXELS, describe_part, draw_window, part_maps, visible_facts


def test_owners_are_the_labels():
    for index in range(50):
        scene = draw_scene(index)
        owners, parts = part_maps(scene)
        labels = np.array([*(CLASSES.index(thing.name) for thing in scene.objects), IGNORE])[owners]
        assert np.array_equal(labels, scene.labels)
        assert np.all((parts >= 0) <= (owners >= 0))


def test_parts_have_their_colours():
    scene = draw_scene(4, size=256)
    owners, parts = part_maps(scene)
    for index, thing in enumerate(scene.objects):
        for part, name in enumerate(thing.colours):
            inside = cv2.erode(((owners == index) & (parts == part)).astype(np.uint8), np.ones((5, 5))) > 0
            if inside.sum() > 50:  # pixels of one part have one colour, but for noise and details
                assert np.median(np.abs(scene.image[inside] - np.median(scene.image[inside], axis=0))) < 8, name


def flag() -> Scene:
    """Create a scene of one object by hand: a red part above a blue one, each 8 x 16 pixels, in 32 x 32."""
    def rectangle(y):
        return np.array([(8, y), (24, y), (24, y + 8), (8, y + 8)], float)

    thing = ToyObject('house', {'roof': 'red', 'walls': 'blue'}, (('roof', rectangle(8)), ('walls', rectangle(16))),
                      (.5, .5), .5)
    labels = np.full((32, 32), IGNORE, np.uint8)
    labels[8:24, 8:24] = 0
    return Scene(np.zeros((32, 32, 3), np.uint8), labels, (thing, ))


def test_visible_facts_by_hand():
    scene, inside = flag(), np.zeros((32, 32), bool)
    owners, parts = part_maps(scene)
    inside[:14, :] = True
    assert visible_facts(scene.objects[0], owners == 0, parts, inside) == {
        'house', 'has:roof', 'roof:red', 'side:top'}
    inside[:] = False
    inside[10:30, 20:] = True
    assert visible_facts(scene.objects[0], owners == 0, parts, inside) == {
        'house', 'has:roof', 'roof:red', 'has:walls', 'walls:blue', 'side:right'}


def test_a_window_shows_what_its_caption_says():
    rng, told_sides = np.random.default_rng(0), 0
    for index in range(200):
        scene = draw_scene(index)
        row, column, facts, caption = draw_window(scene, rng)
        assert 0 <= row <= 5 and 0 <= column <= 5
        assert any(caption.claims[0] <= known for known in facts)
        labels = scene.labels[row * 8:row * 8 + 24, column * 8:column * 8 + 24]
        names = {CLASSES[label] for label in np.unique(labels) if label != IGNORE}
        assert {name for known in facts for name in known if ':' not in name} <= names
        counted = {CLASSES[label] for label in np.unique(labels)
                   if label != IGNORE and (labels == label).sum() >= LEAST_PIXELS}
        assert counted <= {name for known in facts for name in known}
        told_sides += 'side:' in ' '.join(caption.claims[0])
    assert told_sides >= 5


def test_captions_are_the_same_in_each_process_and_use_known_words():
    known = set(' '.join(grammar_words([])).split())
    rng, facts = np.random.default_rng(3), frozenset({'house', 'has:roof', 'roof:red', 'side:top'})
    captions = [describe_part('house', facts, rng) for _ in range(300)]
    assert captions[0] == describe_part('house', facts, np.random.default_rng(3))
    assert {claim for caption in captions for claim in caption.claims[0]} == facts
    for text, (claim, ) in captions:
        words = text.removesuffix('.').split()
        assert set(words) <= known and words[-1] == 'house'
        said = {'has:roof': 'roof', 'roof:red': 'red', 'side:top': 'top'}
        assert all(said[fact] in words for fact in claim - {'house'})

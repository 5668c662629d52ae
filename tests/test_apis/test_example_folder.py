"""Folders of examples: which file is a picture, which a mask, and every mistake."""
import numpy as np
import pytest
from fixtures.refusals import refused
from PIL import Image

from mmseg_mvp.apis import Example
from mmseg_mvp.apis.example_folder import join_classes, read_examples


@pytest.fixture
def put(tmp_path):
    """Write files with a picture of 4 x 4 pixels, and return the folder."""
    def call(*names):
        for name in names:
            path = tmp_path / 'examples' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(4, dtype=np.uint8)).save(path)
        return tmp_path / 'examples'
    return call


def seen(classes):
    """Names of picture and mask of each example."""
    return {name: [(one.image.name, one.mask and one.mask.name) for one in group] for name, group in classes.items()}


def test_masks_belong_to_pictures_of_their_name(put):
    folder = put('widget/a.jpg', 'widget/a.png', 'widget/b.png', 'widget/b_mask.png', 'widget/c.png', 'gear/d.jpg',
                 'gear/d_mask.png', 'gear/.hidden.png', '.cache/x.png', 'große Katze/e.jpg')
    (folder / 'notes.txt').write_text('not a picture')
    assert seen(read_examples(folder)) == {
        'gear': [('d.jpg', 'd_mask.png')], 'große Katze': [('e.jpg', None)],
        'widget': [('a.jpg', 'a.png'), ('b.png', 'b_mask.png'), ('c.png', None)]}
    assert read_examples(str(folder))['gear'][0].region(4, 4).tolist() == np.eye(4, dtype=bool).tolist()


@pytest.mark.parametrize('names, words', [
    (['widget/a_mask.png'], ['a_mask.png has no picture']),
    (['widget/a.jpg', 'widget/a.png', 'widget/a_mask.png'], ['a.png', 'a_mask.png', 'keep one']),
    (['a.jpg'], ['not a folder of examples']), (['widget/a.jpg', 'b.jpg'], ['not a folder of examples']),
    (['red_house/a.jpg', 'Red house/a.jpg'], ["'Red house'", "'red_house'", 'same class name'])])
def test_mistakes(put, names, words):
    folder = put(*names)
    refused(lambda: read_examples(folder), *words)


def test_class_without_pictures(put):
    folder = put('widget/a.jpg')
    (folder / 'empty').mkdir()
    refused(lambda: read_examples(folder), 'empty has no image')
    refused(lambda: read_examples(folder / 'empty'), 'not a folder of examples')
    refused(lambda: read_examples(folder / 'gone'), 'gone cannot be read')
    refused(lambda: read_examples(folder / 'widget/a.jpg'), 'a.jpg cannot be read')


def test_words_come_first_and_names_meet_without_case_and_underscores():
    one, two = Example('a.jpg'), Example('b.jpg')
    joined = join_classes({'sky': ('sky', ), 'red house': ('red house', 'barn')}, {'Red_house': [one], 'widget': [two]})
    assert list(joined) == ['sky', 'red house', 'widget']
    assert joined == {'sky': ['sky'], 'red house': ['red house', 'barn', one], 'widget': [two]}
    assert join_classes({}, {'widget': ['a word', two]}) == {'widget': ['a word', two]}
    refused(lambda: join_classes({'Sky': ('sky', ), 'sky': ('sky', )}, {}), "'Sky' and 'sky'", 'same class name')

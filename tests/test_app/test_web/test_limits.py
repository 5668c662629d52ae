"""The page's limits, in the words of its visitors."""
import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.app.web.limits import LONGEST_TEXT, MOST_NAMES, Limits, class_names, describe_repeated
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.errors import UserError

LIMITS = Limits(0.5, 90_000)


def test_limits_are_told():
    assert LIMITS.describe() == ('Images: PNG, JPEG, WebP, TIFF, BMP, GIF, JPEG 2000 or PNM, up to 0.5 MB and 90000 '
                                 'pixels, such as 300 x 300. Classes: 2 to 5000 names.')
    assert 'up to 20 MB and 67 million pixels, such as 8192 x 8192' in Limits(20, 2**26).describe()


def test_an_image_within_the_limits_is_read(tmp_path):
    image = draw_scene(5, 'test', 64).image
    Image.fromarray(image).save(tmp_path / 'a.png')
    assert np.array_equal(LIMITS.read(tmp_path / 'a.png'), image)


@pytest.mark.parametrize('size, smaller', [((301, 300), '300 x 299'), ((3000, 100), '1643 x 54'),
                                           ((90_001, 1), '90000 x 1')])
def test_a_large_image_is_refused_with_a_size_that_is_accepted(tmp_path, size, smaller):
    for name, pixels in (('large.png', size), ('smaller.png', tuple(map(int, smaller.split(' x '))))):
        Image.new('L', pixels).save(tmp_path / name)
    with pytest.raises(UserError) as caught:
        LIMITS.read(tmp_path / 'large.png')
    assert str(caught.value) == (f'Image large.png has {size[0]} x {size[1]} = {size[0] * size[1]} pixels, but the '
                                 f'limit is 90000: make it smaller, such as {smaller}.')
    LIMITS.read(tmp_path / 'smaller.png')


def test_a_damaged_image_is_named_without_its_folder(tmp_path):
    (tmp_path / 'bad.png').write_bytes(b'no image')
    with pytest.raises(UserError, match='^Image bad.png cannot be read'):
        LIMITS.read(tmp_path / 'bad.png')


def test_names_are_never_a_file_or_a_label_set(tmp_path):
    (tmp_path / 'names.txt').write_text('secret\nother\n')
    assert class_names(f' {tmp_path}/names.txt ') == ([f'{tmp_path}/names.txt'], [])
    assert class_names('voc20') == (['voc20'], [])
    assert class_names(' red house,tree ,, sky,') == (['red house', 'tree', 'sky'], [])
    assert class_names(' , ') == class_names('') == ([], [])
    assert class_names('cat\ndog,\r\nred house\n')[0] == ['cat', 'dog', 'red house']
    assert class_names('cat;\ndog\nred house')[0] == ['cat', 'dog', 'red house']
    assert class_names('猫，犬、 tree，')[0] == ['猫', '犬', 'tree'] and class_names('cat; dog；')[0] == ['cat', 'dog']


def test_names_that_are_repeated_count_once():
    assert class_names('cat, Traffic_light, dog, traffic  light, CAT, cat') == (
        ['cat', 'Traffic_light', 'dog'], ['traffic  light', 'CAT'])
    assert describe_repeated([]) == ''
    assert describe_repeated(['a', 'b']) == 'Given more than once, counted once: "a", "b".'
    assert describe_repeated(list('abcdefghijk')).endswith('"j" and more.')


def test_many_names_are_refused_with_the_limit():
    assert len(class_names(', '.join(map(str, range(MOST_NAMES))))[0]) == MOST_NAMES
    with pytest.raises(UserError, match='There are 5001 classes, but the limit is 5000'):
        class_names(', '.join(map(str, range(MOST_NAMES + 1))))
    with pytest.raises(UserError, match='100001 characters, but the limit is 100000'):
        class_names('x' * (LONGEST_TEXT + 1))
    with pytest.raises(UserError, match='commas and semicolons'):
        class_names('a, b; c')

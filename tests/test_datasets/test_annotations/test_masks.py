"""Masks of label values and of colours: the names of all pixels are known."""
import numpy as np
import pytest
from fixtures.annotations import converted, named, write_json, write_photo
from PIL import Image

from mmseg_mvp.errors import UserError

VALUES = np.random.default_rng(0).integers(0, 3, (10, 12)).astype(np.uint8)
NAMES = ['sky', 'tree', 'red house']
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 64]], np.uint8)
LABELMAP = '# label:color_rgb:parts:actions\nbackground:0,0,0::\ntree:128,0,0::\nred house:0,128,64::\n'


@pytest.fixture(autouse=True)
def photo(tmp_path):
    return write_photo(tmp_path / 'photos/a.jpg')


@pytest.fixture
def masks(tmp_path):
    (tmp_path / 'masks').mkdir()
    return tmp_path / 'masks'


def truth(names=NAMES, values=VALUES):
    return np.array(names, object)[values]


@pytest.mark.parametrize('name', ['a.png', 'a_mask.png', 'a.jpg.png', 'a_gtFine_labelIds.png'])
@pytest.mark.parametrize('mode', ['L', 'P', 'I;16'])
def test_values_with_a_list(tmp_path, masks, name, mode):
    picture = Image.fromarray(VALUES.astype(np.uint16) if mode == 'I;16' else VALUES)
    if mode == 'P':
        picture.putpalette([5, 6, 7, 1, 1, 9, 200, 3, 3])
    picture.save(masks / name)
    (masks / 'classes.txt').write_text('\n'.join(NAMES))
    made = converted(tmp_path, masks)
    np.testing.assert_array_equal(named(made, 'a'), truth())
    assert made.classes == NAMES and made.kind == 'masks' and made.img_suffix == '.jpg'


def test_values_with_classes_of_the_caller_and_255(tmp_path, masks):
    values = VALUES.copy()
    values[4, 3:7] = 255
    Image.fromarray(values).save(masks / 'a.png')
    names = named(converted(tmp_path, masks, classes='sky, tree, red house'), 'a')
    expected = truth()
    expected[4, 3:7] = ''
    np.testing.assert_array_equal(names, expected)


def test_palette_of_voc(tmp_path, masks):
    """labelme2voc: indices with VOC's colours, and names that begin with reserved ones."""
    picture = Image.fromarray(VALUES)
    picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    (masks / 'SegmentationClassPNG').mkdir()
    (masks / 'SegmentationClassVisualization').mkdir()
    picture.save(masks / 'SegmentationClassPNG/a.png')
    write_photo(masks / 'SegmentationClassVisualization/a.png')
    (masks / 'class_names.txt').write_text('_background_\ntree\nred house')
    expected = truth(['background', *NAMES[1:]])
    made = converted(tmp_path, masks)
    assert made.classes == ['background', 'tree', 'red house']
    np.testing.assert_array_equal(named(made, 'a'), expected)
    (tmp_path / 'out').rename(tmp_path / 'first')
    made = converted(tmp_path, masks, unlabelled='ignore')
    assert made.classes == ['tree', 'red house']
    np.testing.assert_array_equal(named(made, 'a'), truth(['', *NAMES[1:]]))


def test_cvat_segmentation_mask(tmp_path):
    """The export has colours of classes and of objects, and may hold the photos."""
    root = tmp_path / 'export'
    for folder in ('SegmentationClass', 'SegmentationObject', 'ImageSets/Segmentation'):
        (root / folder).mkdir(parents=True)
    Image.fromarray(COLOURS[VALUES]).save(root / 'SegmentationClass/a.png')
    write_photo(root / 'SegmentationObject/a.png')
    (root / 'labelmap.txt').write_text(LABELMAP)
    (root / 'ImageSets/Segmentation/default.txt').write_text('a\n')
    made = converted(tmp_path, root)
    assert made.classes == ['background', 'tree', 'red house']
    np.testing.assert_array_equal(named(made, 'a'), truth(['background', *NAMES[1:]]))
    (tmp_path / 'out').rename(tmp_path / 'first')
    np.testing.assert_array_equal(named(converted(tmp_path, root, unlabelled='ignore'), 'a'), truth(['', *NAMES[1:]]))


@pytest.mark.parametrize('table', [
    [dict(name='sky', color='#000000'), dict(name='tree', color='#800000', id=3),
     dict(name='red house', color='#008040')],
    dict(zip(NAMES, COLOURS.tolist())),
    dict(classes=[dict(title=name, color=f'#{bytes(colour).hex()}') for name, colour in zip(NAMES, COLOURS)]),
], ids=['cvat', 'dict', 'supervisely'])
@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'P'])
def test_colours_with_a_table(tmp_path, masks, table, mode):
    picture = Image.fromarray(COLOURS[VALUES])
    (picture.quantize(16) if mode == 'P' else picture.convert(mode)).save(masks / 'a.png')
    write_json(masks / 'classes.json', table)
    made = converted(tmp_path, masks)
    assert made.classes == NAMES
    np.testing.assert_array_equal(named(made, 'a'), truth())


def test_more_than_255_classes(tmp_path, masks):
    values = np.arange(120, dtype=np.uint16).reshape(10, 12) + 200
    values[0, 0] = 65535
    Image.fromarray(values).save(masks / 'a.png')
    (masks / 'classes.txt').write_text('\n'.join(f'kind of tree {chr(97 + i // 26)}{chr(97 + i % 26)}'
                                                 for i in range(320)))
    made = converted(tmp_path, masks, unlabelled='ignore')
    stored = Image.open(made.root / 'masks/a.png')
    assert stored.mode in ('I', 'I;16') and made.ignore_index == 65535
    np.testing.assert_array_equal(np.asarray(stored), values)


def save(mode):
    return lambda masks: Image.fromarray(COLOURS[VALUES]).convert(mode).save(masks / 'bad.png')


def table(text, name='labelmap.txt'):
    def write(masks):
        save('RGB')(masks)
        (masks / name).write_text(text)
    return write


def values(top, names):
    def write(masks):
        Image.fromarray(np.minimum(VALUES, top)).save(masks / 'bad.png')
        (masks / 'classes.txt').write_text('\n'.join(names))
    return write


@pytest.mark.parametrize('write, told', [
    (save('L'), 'no list gives their names'),
    (save('RGB'), "mode 'RGB', colours, and no table"),
    (table('tree:1,2,3::\n'), 'the colour (0, 0, 0), which the table'),
    (table('tree:1,2\n'), "'tree' the colour"),
    (table('tree\n'), "'tree' the colour"),
    (table('tree:1,2,300::\n'), "'tree' the colour"),
    (table('tree:1,2,3::\nsky:1,2,3::'), "'tree' and 'sky' the colour (1, 2, 3)"),
    (table('[{"name": "tree", "color": "red"}]', 'classes.json'), "'tree' the colour 'red'"),
    (table('{"a": [1, 2, 3],', 'classes.json'), 'classes.json'),
    (values(2, ['sky', 'tree']), 'label value 2, and the list has 2 names'),
    (lambda masks: (masks / 'bad.png').write_bytes(b'\x89PNG\r\n\x1a\nbroken'), 'cannot be read'),
    (lambda masks: (masks / 'notes.txt').write_text('nothing'), 'has no annotation: expected labelme JSON'),
])
def test_bad_masks_are_told_in_one_sentence(tmp_path, masks, write, told):
    write_photo(tmp_path / 'photos/bad.jpg')
    write(masks)
    with pytest.raises(UserError) as error:
        converted(tmp_path, masks)
    assert told in str(error.value) and '\n' not in str(error.value) and not (tmp_path / 'out').exists()


def test_masks_among_the_photos_are_refused(tmp_path):
    Image.fromarray(VALUES).save(tmp_path / 'photos/a.png')
    with pytest.raises(UserError, match='photos and masks in one folder'):
        converted(tmp_path, tmp_path / 'photos')

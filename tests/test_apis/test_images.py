"""Every kind of image becomes the pixels that one sees, or one sentence."""
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from fixtures.refusals import refused
from PIL import Image

from mmseg_mvp.apis import UnreadableImage
from mmseg_mvp.apis.images import MAX_PIXELS, allow_pixels, list_images, read_image
from mmseg_mvp.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
# What a viewer does to the stored pixels (EXIF 2.3, tag 0x0112: where row 0 and column 0 lie).
ORIENTATIONS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: np.rot90(image),
}


def one_colour(mode, value):
    return Image.new(mode, (3, 2), value)


def palette_with_hole():
    picture = one_colour('P', 1)
    picture.putpalette([9, 9, 9, 200, 100, 50])
    picture.putpixel((0, 0), 0)
    picture.info['transparency'] = 0
    return picture


@pytest.mark.parametrize('picture, corner, rest', [
    (one_colour('L', 77), (77, 77, 77), (77, 77, 77)),
    (one_colour('1', 1), (255, 255, 255), (255, 255, 255)),
    (one_colour('RGBA', (200, 100, 0, 255)), (200, 100, 0), (200, 100, 0)),
    (one_colour('RGBA', (200, 100, 0, 51)), (244, 224, 204), (244, 224, 204)),  # a fifth of it on white
    (one_colour('LA', (0, 0)), (255, 255, 255), (255, 255, 255)),
    (palette_with_hole(), (255, 255, 255), (200, 100, 50)),
    (one_colour('CMYK', (0, 255, 255, 0)), (255, 0, 0), (255, 0, 0)),
    (one_colour('I;16', 0x80FF), (128, 128, 128), (128, 128, 128)),
    (one_colour('I', 0x2468), (145, 145, 145), (145, 145, 145)),  # 14 bits hold it: 9320 / 16383 * 255
])
def test_modes_of_pillow(picture, corner, rest):
    image = read_image(picture)
    assert image.shape == (2, 3, 3) and image.dtype == np.uint8
    assert tuple(image[0, 0]) == corner and (image.reshape(-1, 3)[1:] == rest).all()


@pytest.mark.parametrize('ending', ['png', 'bmp', 'tif', 'webp', 'ppm'])
def test_files_without_loss(tmp_path, ending):
    Image.fromarray(PIXELS).save(tmp_path / f'a.{ending}', lossless=True)
    np.testing.assert_array_equal(read_image(tmp_path / f'a.{ending}'), PIXELS)


def test_files_of_a_camera_and_a_press(tmp_path):
    smooth = np.full((16, 16, 3), (180, 90, 40), np.uint8)
    Image.fromarray(smooth).save(tmp_path / 'a.jpg', quality=95)
    Image.fromarray(smooth).convert('CMYK').save(tmp_path / 'b.jpg', quality=95)
    for name in 'ab':
        np.testing.assert_allclose(read_image(str(tmp_path / f'{name}.jpg')), smooth, atol=3)


def test_sixteen_bits_of_a_png(tmp_path):
    grey = np.array([[0, 255, 256], [32768, 65280, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / 'grey.png')
    np.testing.assert_array_equal(read_image(tmp_path / 'grey.png')[..., 1], [[0, 1, 1], [128, 254, 255]])  # / 257


@pytest.mark.parametrize('orientation', ORIENTATIONS)
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(tmp_path / 'a.png', exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / 'a.png'), ORIENTATIONS[orientation](PIXELS))


def test_arrays_are_in_opencvs_order():
    blue, green, red = 10, 20, 30
    array = np.full((2, 2, 3), (blue, green, red), np.uint8)
    assert tuple(read_image(array)[0, 0]) == (red, green, blue)
    assert tuple(read_image(array.astype(np.uint16))[0, 0]) == (red, green, blue)
    assert tuple(read_image(array.astype(np.uint16) * 2000)[0, 0]) == (233, 156, 78)  # of 65535
    assert tuple(read_image(array / np.float32(40))[0, 0]) == (191, 128, 64)  # of 1
    clear = np.dstack([array, np.full((2, 2), 0, np.uint8)])
    assert tuple(read_image(clear)[0, 0]) == (255, 255, 255)
    for grey in (array[..., 0], array[..., :1]):
        assert tuple(read_image(grey)[0, 0]) == (blue, blue, blue)


@pytest.mark.parametrize('source, words', [
    ('nowhere.png', ['nowhere.png', 'does not exist']),
    (np.zeros((2, 2, 2), np.uint8), ['(2, 2, 2)', 'BGR']),
    (np.zeros((2, 2, 3), np.complex64), ['complex64', 'floats']),
    (np.full((2, 2, 3), np.nan), ['The array', '12 values', 'NaN']),
    (Image.fromarray(np.array([[1, np.inf]], np.float32)), ['The Pillow image', '1 values', 'infinity']),
    (np.zeros((0, 2, 3), np.uint8), ['(0, 2, 3)']),
    (np.zeros((2, 2, 2, 3), np.uint8), ['(2, 2, 2, 3)']),
    (7, ['int', 'a path']),
])
def test_refused(source, words):
    with pytest.raises(UserError) as error:
        read_image(source)
    assert all(word in str(error.value) for word in words) and '\n' not in str(error.value)


@pytest.mark.parametrize('content', [b'', b'not an image', 'half', 'broken'])
def test_damaged_files(tmp_path, content):
    path = tmp_path / 'a.png'
    Image.fromarray(PIXELS.repeat(40, 0)).save(path)
    whole = path.read_bytes()
    if content == 'half':
        content = whole[:len(whole) // 2]
    elif content == 'broken':
        content = whole[:60] + bytes(20) + whole[80:]
    path.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r'a\.png cannot be read \(.+\): it is truncated, not an image') as error:
        read_image(path)
    assert '\n' not in str(error.value) and '<_io' not in str(error.value)


def test_folder_is_no_image(tmp_path):
    with pytest.raises(UnreadableImage, match='is not a file'):
        read_image(tmp_path)


def header_of(path, width, height):
    """A PNG that says its size and holds no pixel."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    chunks = [(b'IHDR', header), (b'IDAT', zlib.compress(b''))]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
        for kind, body in chunks))
    return path


@pytest.mark.parametrize('side', [9000, 20000])
def test_huge_image_is_refused_before_it_is_decoded(tmp_path, monkeypatch, side):
    """The second is beyond Pillow's own guard as well; with the limit raised, what is wrong is what it lacks."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', Image.MAX_IMAGE_PIXELS)
    path = header_of(tmp_path / 'huge.png', side, side)
    with pytest.raises(UnreadableImage, match=r'huge\.png .*--max-pixels.*raise') as error:
        read_image(path)
    assert str(side**2) in str(error.value)
    allow_pixels(side**2)
    with pytest.raises(UnreadableImage, match=r'cannot be read'):
        read_image(path, side**2)


def test_limit_holds_for_arrays_and_pictures():
    for source in (PIXELS, Image.fromarray(PIXELS)):
        assert read_image(source, 35).shape == (5, 7, 3)
        with pytest.raises(UnreadableImage, match='7 x 5 = 35 pixels'):
            read_image(source, 34)


def test_limit_is_one(monkeypatch):
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 100)
    allow_pixels(50)
    assert Image.MAX_IMAGE_PIXELS == 100, 'never lowered: it is the whole process\'s'
    with pytest.raises(UserError, match=str(MAX_PIXELS)):
        allow_pixels(0)


def test_images_of_a_folder(tmp_path):
    for name in ('b.JPG', 'a.png', 'notes.txt', '.hidden.png'):
        (tmp_path / name).touch()
    (tmp_path / 'deeper.png').mkdir()
    assert [path.name for path in list_images(tmp_path)] == ['a.png', 'b.JPG']
    with pytest.raises(UserError, match='has no image'):
        list_images(tmp_path / 'deeper.png')


def test_an_opened_file_of_12_in_16_bits(tmp_path):
    """Pillow decodes 8 of 16 bits of several channels, so an opened file is read by all of its bits."""
    values = (PIXELS.astype(np.uint16) << 4) + 15
    buffer = io.BytesIO(cv2.imencode('.png', values[..., ::-1])[1].tobytes())
    picture = Image.open(buffer)
    assert np.array_equal(read_image(picture), np.rint(values / 4095 * 255))
    assert picture.convert('RGB').getpixel((0, 0)) == tuple(values[0, 0] // 256)  # still usable
    assert cv2.imwritemulti(str(tmp_path / 'pages.tif'), [values, values // 2])
    picture = Image.open(tmp_path / 'pages.tif')
    picture.seek(1)
    refused(lambda: read_image(picture), 'page 2 of a file of 16 bits', 'save the page')


def test_pillow_images_that_cannot_be_decoded(tmp_path):
    noise = Image.effect_noise((64, 64), 50)
    noise.save(tmp_path / 'a.png')
    (tmp_path / 'b.png').write_bytes((tmp_path / 'a.png').read_bytes()[:1000])
    closed = Image.open(tmp_path / 'a.png')
    closed.close()
    for picture in (Image.open(tmp_path / 'b.png'), closed, Image.new('I', (0, 0)), Image.new('La', (2, 2))):
        refused(lambda: read_image(picture), f'The Pillow image of mode {picture.mode}', 'cannot be read')

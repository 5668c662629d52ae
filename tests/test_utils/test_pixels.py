"""One reader for photos: training, inference, the web page and --show-dir see the same pixels, those computed here."""
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image, ImageOps

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.apis.images import read_image
from mmseg_mvp.datasets import LoadCheckedImage
from mmseg_mvp.utils.depth import UnreadableImage
from mmseg_mvp.utils.pixels import read_photo, turned
from mmseg_mvp.visualization.hook import read_image as read_shown

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)
RGB[0, 0], RGB[0, 1] = 0, 255
GREY = RGB[..., 0]
ALPHA = RNG.integers(0, 256, (6, 8), np.uint8)
WIDE = RNG.integers(0, 65536, (6, 8, 3)).astype(np.uint16)
WIDE[0, 0], WIDE[0, 1] = 0, 65535
SMOOTH = np.full((16, 16, 3), (180, 90, 40), np.uint8)


def grey(values):
    return np.repeat(np.rint(np.asarray(values, np.float64)).astype(np.uint8)[..., None], 3, axis=2)


def on_white(rgb, alpha):
    """Blend colours (H, W, 3) of 0 to 255 with white by an opacity (H, W) of 0 to 255."""
    share = np.asarray(alpha, np.float64)[..., None] / 255
    return np.asarray(rgb, np.float64) * share + 255 * (1 - share)


def pillow(array, ending='png', mode=None, **kwargs):
    picture, buffer = Image.fromarray(array), io.BytesIO()
    formats = {'jpg': 'JPEG', 'tif': 'TIFF'}
    (picture.convert(mode) if mode else picture).save(buffer, formats.get(ending, ending), **kwargs)
    return buffer.getvalue()


def opencv(array, ending='png'):
    """A file of channels in the order RGB or RGBA."""
    if array.ndim == 3:
        array = np.ascontiguousarray(array[..., [2, 1, 0, 3][:array.shape[2]]])
    plain = [cv2.IMWRITE_TIFF_COMPRESSION, 1] if ending == 'tif' else []  # some versions round floats otherwise
    return cv2.imencode(f'.{ending}', array, plain)[1].tobytes()


def png(array, depth, colours, extra=b'', width=None):
    """A PNG of the bytes of each row, with chunks that no encoder here writes."""
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    header = struct.pack('>IIBBBBB', width or array.shape[1], array.shape[0], depth, colours, 0, 0, 0)
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in array)
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*one) for one in (
        (b'IHDR', header), *([(b'tRNS', extra)] if extra else []), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')))


def oriented(value, ending='png'):
    exif = Image.Exif()
    exif[0x0112] = value
    return pillow(RGB, ending, exif=exif)


def palette(hole=None):
    picture = Image.fromarray(GREY // 86)  # indices 0, 1, 2
    picture.putpalette([9, 9, 9, 200, 100, 50, 1, 2, 3])
    buffer = io.BytesIO()
    picture.save(buffer, 'png', **({} if hole is None else dict(transparency=hole)))
    return buffer.getvalue()


def tiff(array, photometric, extra=(), planes=1, kind=1):
    """A little-endian TIFF of one strip, with tags that no encoder here writes."""
    channels = 1 if array.ndim == 2 else array.shape[2]
    tags = {256: [array.shape[1]], 257: [array.shape[0]], 258: [8 * array.itemsize] * channels, 259: [1],
            262: [photometric], 273: [8], 277: [channels], 278: [array.shape[0]], 279: [array.nbytes], 284: [planes],
            338: extra, 339: [kind] * channels}
    tags = {tag: struct.pack(f'<{len(values)}H', *values) for tag, values in tags.items() if values}
    start, longer = 8 + array.nbytes, b''
    entries = struct.pack('<H', len(tags))
    for tag, content in tags.items():
        place = struct.pack('<I', start + 6 + 12 * len(tags) + len(longer)) if len(content) > 4 else b''
        entries += struct.pack('<HHI', tag, 3, len(content) // 2) + (place or content.ljust(4, b'\0'))
        longer += content if place else b''
    array = np.moveaxis(array, -1, 0) if planes > 1 else array
    return b'II*\0' + struct.pack('<I', start) + array.tobytes() + entries + bytes(4) + longer


def pnm(kind, largest, array):
    return b'%s\n%d %d\n%d\n' % (kind, array.shape[1], array.shape[0], largest) + array.astype('>u2').tobytes()


def jpeg2000(array):
    return cv2.imencode('.jp2', array[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()


PALETTE = np.array([[9, 9, 9], [200, 100, 50], [1, 2, 3]])[GREY // 86]
# Name: ending, content, pixels as a viewer shows them, difference allowed (lossy files, rounding of a blend).
KINDS = {
    'rgb png': ('png', pillow(RGB), RGB, 0),
    'rgb jpg': ('jpg', pillow(SMOOTH, 'jpg', quality=95), SMOOTH, 2),
    'rgb bmp': ('bmp', pillow(RGB, 'bmp'), RGB, 0),
    'rgb webp': ('webp', pillow(RGB, 'webp', lossless=True), RGB, 0),
    'rgb tif': ('tif', pillow(RGB, 'tif'), RGB, 0),
    'rgb ppm': ('ppm', pillow(RGB, 'ppm'), RGB, 0),
    'gif': ('gif', pillow(GREY // 86 * 86, 'gif'), grey(GREY // 86 * 86), 0),
    'grey png': ('png', pillow(GREY), grey(GREY), 0),
    'grey jpg': ('jpg', pillow(SMOOTH[..., 0], 'jpg', quality=95), grey(SMOOTH[..., 0]), 2),
    '1 bit': ('png', pillow(GREY > 127), grey((GREY > 127) * 255), 0),
    'palette': ('png', palette(), PALETTE, 0),
    'palette with a transparent colour': ('png', palette(1), on_white(PALETTE, (GREY // 86 != 1) * 255), 0),
    'rgba': ('png', pillow(np.dstack([RGB, ALPHA])), on_white(RGB, ALPHA), 1),
    'rgba webp': ('webp', pillow(np.dstack([RGB, ALPHA | 1]), 'webp', lossless=True), on_white(RGB, ALPHA | 1), 1),
    'grey with alpha': ('png', pillow(np.dstack([GREY, ALPHA])), on_white(grey(GREY), ALPHA), 1),
    'cmyk jpg': ('jpg', pillow(SMOOTH, 'jpg', mode='CMYK', quality=95), SMOOTH, 3),
    'grey of 16 bits': ('png', pillow(WIDE[..., 0]), grey(WIDE[..., 0] / 65535 * 255), 0),
    'grey of 16 bits, tif': ('tif', pillow(WIDE[..., 0], 'tif'), grey(WIDE[..., 0] / 65535 * 255), 0),
    'grey of 16 bits, pgm': ('pgm', opencv(WIDE[..., 0], 'pgm'), grey(WIDE[..., 0] / 65535 * 255), 0),
    'grey of 14 in 16 bits': ('png', pillow(WIDE[..., 0] // 4), grey(WIDE[..., 0] // 4 / 16383 * 255), 0),
    'grey of 12 in 16 bits': ('png', pillow(WIDE[..., 0] // 16), grey(WIDE[..., 0] // 16 / 4095 * 255), 0),
    'grey of 10 in 16 bits': ('png', pillow(WIDE[..., 0] // 64), grey(WIDE[..., 0] // 64 / 1023 * 255), 0),
    'grey of 8 in 16 bits': ('png', pillow(GREY.astype(np.uint16)), grey(GREY), 0),
    'grey of 16 bits with a transparent value': (
        'png', png(WIDE[..., 0], 16, 0, struct.pack('>H', int(WIDE[2, 2, 0]))),
        on_white(grey(WIDE[..., 0] / 65535 * 255), (WIDE[..., 0] != WIDE[2, 2, 0]) * 255), 0),
    'rgb of 16 bits': ('png', opencv(WIDE), np.rint(WIDE / 257), 0),
    'rgb of 16 bits, tif': ('tif', opencv(WIDE, 'tif'), np.rint(WIDE / 257), 0),
    'rgb of 12 in 16 bits': ('png', opencv(WIDE // 16), np.rint(WIDE // 16 / 4095 * 255), 0),
    'rgb of 8 in 16 bits': ('tif', opencv(RGB.astype(np.uint16), 'tif'), RGB, 0),
    'rgba of 12 in 16 bits, opaque': (
        'png', opencv(np.dstack([WIDE // 16, np.full((6, 8), 65535, np.uint16)])), np.rint(WIDE // 16 / 4095 * 255), 0),
    'rgba of 16 bits': ('png', opencv(np.dstack([WIDE, WIDE[..., :1]])),
                        on_white(WIDE / 257, WIDE[..., 0] / 257), 2),
    'grey with alpha of 16 bits': ('png', png(WIDE[..., :2], 16, 4),
                                   on_white(np.repeat(WIDE[..., :1], 3, 2) / 257, WIDE[..., 1] / 257), 2),
    'float 0..1': ('tif', opencv((GREY / 255).astype(np.float32), 'tif'), grey(GREY), 0),
    'float 0..255': ('tif', opencv(GREY.astype(np.float32), 'tif'), grey(GREY), 0),
    'float 0..3': ('tif', opencv((GREY / 85).astype(np.float32), 'tif'), grey(GREY), 0),
    'float -1..1': ('tif', opencv((GREY / 127.5 - 1).astype(np.float32), 'tif'), grey(GREY), 1),
    'float of 64 bits': ('tif', opencv(GREY / 255, 'tif'), grey(GREY), 0),
    'rgb floats 0..1': ('tif', opencv((RGB / 255).astype(np.float32), 'tif'), RGB, 0),
    'int32 of 16 bits': ('tif', pillow(WIDE[..., 0].astype(np.int32), 'tif'), grey(WIDE[..., 0] / 257), 0),
    'int32 of 8 bits': ('tif', pillow(GREY.astype(np.int32), 'tif'), grey(GREY), 0),
    'int32 of 24 bits': ('tif', pillow(WIDE[..., 0].astype(np.int32) * 200, 'tif'), grey(WIDE[..., 0] / 257), 0),
    'uint32': ('tif', tiff(WIDE[..., 0].astype(np.uint32) * 65537, 1), grey(WIDE[..., 0] / 257), 0),
    'int8': ('tif', tiff((GREY ^ 128).view(np.int8), 1, kind=2), grey(GREY), 0),
    '16 bits, 0 is white': ('tif', tiff(WIDE[..., 0], 0), grey(255 - np.rint(WIDE[..., 0] / 257)), 0),
    'rgb and infrared of 16 bits': ('tif', tiff(np.dstack([WIDE, WIDE[..., 0]]), 2, [0]), np.rint(WIDE / 257), 0),
    'rgb and infrared of 8 bits': ('tif', tiff(np.dstack([RGB, ALPHA]), 2, [0]), RGB, 0),
    'rgba of 16 bits, tif': ('tif', tiff(np.dstack([WIDE, WIDE[..., :1]]), 2, [2]),
                             on_white(WIDE / 257, WIDE[..., 0] / 257), 2),
    'rgb of 12 in 16 bits, ppm': ('ppm', pnm(b'P6', 65535, WIDE // 16), np.rint(WIDE // 16 / 4095 * 255), 0),
    'rgb of 12 in 16 bits, jp2': ('jp2', jpeg2000(np.tile(WIDE // 16, (12, 8, 1))),
                                  np.tile(np.rint(WIDE // 16 / 4095 * 255), (12, 8, 1)), 0),
    'grey of 2 bits with a transparent value': (
        'png', png(np.array([[0x1b1b]] * 6), 2, 0, b'\0\1', 8), grey(np.tile([0, 255, 170, 255], (6, 2))), 0),
    'exif 3': ('png', oriented(3), RGB[::-1, ::-1], 0),
    'exif 6': ('png', oriented(6), np.rot90(RGB, -1), 0),
    'exif 6, tif': ('tif', oriented(6, 'tif'), np.rot90(RGB, -1), 0),
    '1 x N': ('png', pillow(RGB[:1]), RGB[:1], 0),
    'N x 1': ('png', pillow(RGB[:, :1]), RGB[:, :1], 0),
    '1 x N of 16 bits': ('png', opencv(WIDE[:1]), np.rint(WIDE[:1] / 257), 0),
    '1 x 1': ('png', pillow(GREY[:1, :1]), grey(GREY[:1, :1]), 0),
}


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer('configs/maskclip/toy_zs.py', device='cpu')


def shown(path, shape):
    """The pixels that --show-dir draws."""
    sample = SegDataSample(metainfo=dict(img_path=str(path)))
    sample.pred_sem_seg = PixelData(data=torch.zeros(1, *shape))
    return read_shown(sample, [], 0)


@pytest.mark.parametrize('kind', KINDS)
def test_all_readers_see_the_same_pixels(kind, tmp_path, seg):
    ending, content, expected, allowed = KINDS[kind]
    path = tmp_path / f'a.{ending}'
    path.write_bytes(content)
    found = read_image(path)
    assert found.dtype == np.uint8 and found.shape == np.shape(expected) and found.flags.c_contiguous
    assert np.abs(found - np.asarray(expected, np.float64)).max() <= allowed + 0.5
    trained = LoadCheckedImage().transform(dict(img_path=str(path)))
    assert np.array_equal(trained['img'][..., ::-1], found) and trained['ori_shape'] == found.shape[:2]
    assert np.array_equal(shown(path, found.shape[:2]), found)
    packed = seg.pack(path)['data_samples']  # of the inferencer, which segment.py and the web page call
    assert np.array_equal(packed.metainfo['image'], found)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('ending', ['png', 'tif', 'jpg'])
def test_orientation_is_told(orientation, ending):
    photo = read_photo(io.BytesIO(oriented(orientation, ending)), 'a')
    assert photo.orientation == orientation
    assert photo.pixels.shape == ((8, 6, 3) if orientation > 4 else (6, 8, 3))
    with Image.open(io.BytesIO(oriented(orientation, ending))) as picture:
        assert np.array_equal(photo.pixels, np.asarray(ImageOps.exif_transpose(picture)))


@pytest.mark.parametrize('content', [oriented(0), oriented(9), pillow(RGB, exif=b'Exif\0\0nonsense')])
def test_invalid_orientations_are_ignored(content):
    photo = read_photo(io.BytesIO(content), 'a')
    assert photo.orientation == 1 and np.array_equal(photo.pixels, RGB)


def test_turned_arrays_of_any_type():
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert turned(values, 6).tolist() == [[3, 0], [4, 1], [5, 2]] and turned(values, 6).dtype == np.int32


@pytest.mark.parametrize('content, words', [
    (opencv(np.full((3, 4), np.nan, np.float32), 'tif'), ['12 values', 'not finite']),
    (opencv(np.full((3, 4, 3), np.inf, np.float32), 'tif'), ['36 values', 'not finite']),
    (opencv(WIDE)[:200], ['cannot be read']),
    (opencv((RGB / 255).astype(np.float32), 'tif')[:300], ['cannot be read']),
    (tiff(WIDE, 2, planes=2), ['3 channels in separate planes', 'gdal_translate']),
    (tiff(np.dstack([RGB, ALPHA]), 1, [0, 0, 0]), ['4 channels, which are not known to be red']),
    (tiff(WIDE, 1, [0, 0]), ['3 channels, which are not known to be red']),
    (tiff(np.dstack([WIDE, WIDE]), 2, [0, 0, 0]), ['6 channels']),
    (tiff(np.dstack([WIDE, WIDE[..., 0]]), 5), ['4 channels']),
    (b'\0\0\0\x18ftypheic' + bytes(60), ['no decoder knows this format', 'or of another format']),
    (b'II*\0\x08\0\0\0', ['cannot be read']),
    (b'', ['cannot be read']),
])
def test_unreadable(content, words):
    with pytest.raises(UnreadableImage) as error:
        read_photo(io.BytesIO(content), 'Image a.tif')
    assert all(word in str(error.value) for word in ['Image a.tif', *words]) and '\n' not in str(error.value)


@pytest.mark.parametrize('content', [pillow(RGB), opencv(WIDE), opencv((RGB / 255).astype(np.float32), 'tif')])
def test_limit_holds_for_every_decoder(content):
    assert read_photo(io.BytesIO(content), 'a', 48).pixels.shape == (6, 8, 3)
    with pytest.raises(UnreadableImage, match=r'8 x 6 = 48 pixels, but max_pixels \(--max-pixels\) is 47'):
        read_photo(io.BytesIO(content), 'a', 47)

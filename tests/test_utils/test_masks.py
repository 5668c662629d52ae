"""One reader for masks: values of every integer depth, in every shape."""
import io
import struct
import zlib

import numpy as np
import pytest
from fixtures.logs import record_logs
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils import notices
from mmseg_mvp.utils.masks import decode_mask, write_label_map

VALUES = np.array([[0, 1, 2, 3], [4, 5, 6, 255], [7, 8, 9, 10]])


def encoded(array, ending='PNG', **kwargs):
    buffer = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(buffer, ending, **kwargs)
    return buffer.getvalue()


def packed_rows(array, bits):
    texts = [''.join(f'{value:0{bits}b}' for value in row) for row in array.tolist()]
    return [int(text.ljust(-(-len(text) // 8) * 8, '0'), 2).to_bytes(-(-len(text) // 8), 'big') for text in texts]


def packed_tiff(array, bits):
    rows = b''.join(packed_rows(array, bits))
    tags = {256: array.shape[1], 257: array.shape[0], 258: bits, 259: 1, 262: 1, 273: 8, 277: 1,
            278: array.shape[0], 279: len(rows)}
    entries = b''.join(struct.pack('<HHIHH', tag, 3, 1, value, 0) for tag, value in tags.items())
    return b'II*\0' + struct.pack('<I', 8 + len(rows)) + rows + struct.pack('<H', len(tags)) + entries + bytes(4)


def packed(array, bits):
    """A grey PNG of 1, 2 or 4 bits, as some labelling tools write it."""
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    rows = b''.join(b'\0' + row for row in packed_rows(array, bits))
    header = struct.pack('>IIBBBBB', array.shape[1], array.shape[0], bits, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def palette(array):
    picture = Image.fromarray(array)
    picture.putpalette(list(range(256)) * 3)
    return picture


@pytest.mark.parametrize('content, expected', [
    (encoded(VALUES.astype(np.uint8)), VALUES),
    (encoded(palette(VALUES.astype(np.uint8))), VALUES),
    (encoded(VALUES.astype(np.uint8), 'TIFF'), VALUES),
    (encoded(VALUES.astype(np.uint8), 'BMP'), VALUES),
    (encoded(palette(VALUES.astype(np.uint8) % 16), bits=4), VALUES % 16),
    (encoded((VALUES * 257).astype(np.uint16)), VALUES * 257),
    (encoded((VALUES * 257).astype(np.uint16), 'TIFF'), VALUES * 257),
    (encoded((VALUES * 9999).astype(np.int32), 'TIFF'), VALUES * 9999),
    (encoded((VALUES - 1).astype(np.int32), 'TIFF'), VALUES - 1),
    (encoded(VALUES > 4), VALUES > 4),
    *((packed(VALUES % 2**bits, bits), VALUES % 2**bits) for bits in (1, 2, 4)),
    *((packed_tiff(VALUES % 2**bits, bits), VALUES % 2**bits) for bits in (1, 2, 4)),
    (b'P5\n4 3\n10\n' + bytes(range(11)) + b'\0', np.arange(12).reshape(3, 4) % 11),
    (b'P5\n4 3\n1000\n' + VALUES.astype('>u2').tobytes(), VALUES),
    (encoded(VALUES[:1].astype(np.uint8)), VALUES[:1]), (encoded(VALUES[:, :1].astype(np.uint16)), VALUES[:, :1]),
    (encoded(VALUES[:1, :1].astype(np.uint8)), VALUES[:1, :1]),
])
def test_values(content, expected):
    mask = decode_mask(content, 'Mask a')
    assert mask.values.tolist() == expected.astype(int).tolist() and not mask.is_turned
    assert mask.values.dtype in (np.uint8, np.uint16, np.int32) and mask.values.dtype.isnative


@pytest.mark.parametrize('ending', ['PNG', 'TIFF'])
def test_own_orientation_is_applied(ending):
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = decode_mask(encoded(VALUES.astype(np.uint8), ending, exif=exif), 'Mask a')
    assert mask.is_turned and mask.values.tolist() == np.rot90(VALUES, -1).tolist()


@pytest.mark.parametrize('content, words', [
    (encoded(np.zeros((2, 2, 3), np.uint8)), "mode 'RGB'"), (encoded(np.zeros((2, 2, 4), np.uint8)), "mode 'RGBA'"),
    (encoded(np.zeros((2, 2, 2), np.uint8)), "mode 'LA'"), (encoded(np.zeros((2, 2), np.float32), 'TIFF'), "mode 'F'"),
    (encoded(np.zeros((16, 16), np.uint8), 'TIFF', compression='jpeg'), 'is a JPEG, which'),
    (encoded(VALUES.astype(np.uint8), 'JPEG'), 'is a JPEG, which changes label values'),
    (encoded(VALUES.astype(np.uint16))[:60], 'cannot be read'), (b'', 'cannot be read'),
])
def test_refused(content, words):
    with pytest.raises(UserError, match='Mask a') as error:
        decode_mask(content, 'Mask a')
    assert words in str(error.value) and '\n' not in str(error.value)


def test_other_modes_as_grey():
    colours = np.repeat(VALUES[..., None], 3, 2).astype(np.uint8)
    assert decode_mask(encoded(colours), 'Mask a', grey=True).values.tolist() == VALUES.tolist()


def test_a_jpeg_as_grey():
    assert decode_mask(encoded(np.full((8, 8), 200, np.uint8), 'JPEG'), 'Mask a', grey=True).values.tolist() == \
        [[200] * 8] * 8


def test_indices_of_a_grey_palette(monkeypatch):
    """A program that shrinks a grey PNG stores 3 indices for the values 0, 7 and 255."""
    said = record_logs(monkeypatch, 'mmseg_mvp.utils.notices')
    monkeypatch.setattr(notices, '_named', type(notices._named)(set))
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    picture.putpalette([0, 0, 0, 7, 7, 7, 255, 255, 255])
    assert decode_mask(encoded(picture), 'Mask a').values.tolist() == [[0, 1, 2]]
    assert len(said) == 1 and 'Mask a stores the indices 1, 2 of the grey values 7, 255, and the indices' in said[0]
    picture.putpalette([0, 0, 0, 7, 7, 7, 255, 0, 0])  # a colour: the palette is for viewing
    decode_mask(encoded(picture), 'Mask b')
    picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2])
    decode_mask(encoded(picture), 'Mask c')
    assert len(said) == 1


@pytest.mark.parametrize('labels, num_classes', [(np.array([[255]], np.uint8), 256), (np.array([[True]]), 2)])
def test_written_labels_do_not_wrap(tmp_path, labels, num_classes):
    write_label_map(labels, tmp_path / 'a.png', num_classes, reduced=True)
    assert np.asarray(Image.open(tmp_path / 'a.png')).tolist() == [[num_classes]]

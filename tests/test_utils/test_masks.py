"""One reader for masks: values of every integer depth, in every shape."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.masks import decode_mask

VALUES = np.array([[0, 1, 2, 3], [4, 5, 6, 255], [7, 8, 9, 10]])


def encoded(array, ending='PNG', **kwargs):
    buffer = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(buffer, ending, **kwargs)
    return buffer.getvalue()


def packed(array, bits):
    """A grey PNG of 1, 2 or 4 bits, as some labelling tools write it."""
    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    rows = b''
    for row in array.tolist():
        text = ''.join(f'{value:0{bits}b}' for value in row)
        rows += b'\0' + int(text.ljust(-(-len(text) // 8) * 8, '0'), 2).to_bytes(-(-len(text) // 8), 'big')
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
    (encoded(VALUES.astype(np.uint16))[:60], 'cannot be read'), (b'', 'cannot be read'),
])
def test_refused(content, words):
    with pytest.raises(UserError, match='Mask a') as error:
        decode_mask(content, 'Mask a')
    assert words in str(error.value) and '\n' not in str(error.value)


def test_other_modes_as_grey():
    colours = np.repeat(VALUES[..., None], 3, 2).astype(np.uint8)
    assert decode_mask(encoded(colours), 'Mask a', grey=True).values.tolist() == VALUES.tolist()

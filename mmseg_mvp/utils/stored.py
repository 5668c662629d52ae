"""Layouts of stored pixels that Pillow or OpenCV change in silence, told by the headers of files."""
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from .depth import UnreadableImage

WIDTH, HEIGHT, ORIENTATION = 256, 257, 274  # tags of TIFF; the last is that of EXIF as well
_BITS, _PHOTOMETRIC, _CHANNELS, _PLANES, _EXTRA, _FORMAT = 258, 262, 277, 284, 338, 339
_WHITE_IS_ZERO, _RGB = 0, 2  # values of _PHOTOMETRIC
_UNSPECIFIED, _OPACITY = (0, ), (2, )  # values of _EXTRA
_UNSIGNED, _SIGNED = 1, 2  # values of _FORMAT
_JPEG2000 = b'\xff\x4f\xff\x51'  # its first two markers; 42 bytes later comes the depth of the first channel
_STRETCHED = {'L;2': 85, 'L;4': 17}


def tags_of_tiff(file: BinaryIO) -> Mapping[int, int | tuple]:
    """Return the tags of the first page of a TIFF file.

    Raises:
        UnidentifiedImageError: If it is none.
    """
    file.seek(0)
    header = file.read(8)
    header += file.read(8) if header[2:3] == b'+' or header[3:4] == b'+' else b''  # BigTIFF
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(header)
        file.seek(directory.next)
        directory.load(file)
        int(directory[WIDTH]), int(directory[HEIGHT])
    except Exception as error:
        raise UnidentifiedImageError('no decoder knows this format') from error
    return directory


def is_reduced(picture: Image.Image, file: BinaryIO) -> bool:
    """Return True if Pillow would lose bits or the sign of values: 16 bits in several channels, int8 and uint32.

    Args:
        picture (Image.Image): Picture before ``load()``.
        file (BinaryIO): Its file.
    """
    if picture.format == 'TIFF':
        tags = picture.tag_v2
        several = tags.get(_CHANNELS, 1) > 1
        return max(tags.get(_BITS, (1, ))) > 8 if several else misread_type(tags) is not None
    if picture.mode[0] in 'IF':
        return False
    if picture.format == 'JPEG2000':
        return _depth_of_jpeg2000(file) > 8
    return any(';16' in str(tile[3]) or tile[0].startswith('ppm') and tile[3][1] > 255 for tile in picture.tile)


def misread_type(tags: Mapping) -> np.dtype | None:
    """Return the type of a TIFF of one channel in int8 or uint32. Pillow keeps the bits, but not the type."""
    if tags.get(_CHANNELS, 1) > 1:
        return None
    kind = max(tags.get(_BITS, (1, ))), max(tags.get(_FORMAT, (_UNSIGNED, )))
    return {(8, _SIGNED): np.dtype(np.int8), (32, _UNSIGNED): np.dtype(np.uint32)}.get(kind)


def _depth_of_jpeg2000(file: BinaryIO) -> int:
    place = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(place)
    return (content[content.find(_JPEG2000) + 42] & 0x7f) + 1


def check_for_opencv(tags: Mapping[int, int | tuple], name: str) -> None:
    """Refuse a TIFF that OpenCV decodes to other colours: several channels other than RGB or RGBA, side by side.

    Raises:
        UnreadableImage: If it is one.
    """
    channels, planes, extra = tags.get(_CHANNELS, 1), tags.get(_PLANES, 1), tuple(tags.get(_EXTRA, ()))
    colours = channels in (3, 4) and tags.get(_PHOTOMETRIC) == _RGB and extra in ((), _UNSPECIFIED, _OPACITY)
    if channels > 1 and (planes > 1 or not colours):
        raise UnreadableImage(f'{name} is a TIFF of {channels} channels{" in separate planes" * (planes > 1)}, which '
                              f'are not known to be red, green and blue: save them as RGB or grey, such as by '
                              f'gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB -co INTERLEAVE=PIXEL.')


def is_opaque(tags: Mapping[int, int | tuple]) -> bool:
    """Return True if the fourth channel of a TIFF is not an opacity, such as infrared."""
    return tuple(tags.get(_EXTRA, ())) == _UNSPECIFIED


def is_negative(tags: Mapping[int, int | tuple]) -> bool:
    """Return True if the value 0 of a grey TIFF is white. Pillow inverts values of up to 8 bits only."""
    return tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and max(tags.get(_BITS, (1, ))) > 8


def stretch(picture: Image.Image) -> float:
    """Return the factor by which Pillow multiplies the grey values of a file on ``load()``.

    It stretches 2 and 4 bits to 8, and the largest value in the header of PGM to 255 or 65535.
    """
    for codec, _, _, settings in picture.tile:
        if codec.startswith('ppm') and settings[0] == 'L':
            return (65535 if settings[1] > 255 else 255) / settings[1]
        raw = str(settings[0] if isinstance(settings, tuple) and settings else settings)[:3]
        if raw in _STRETCHED:
            return _STRETCHED[raw]
    return 1

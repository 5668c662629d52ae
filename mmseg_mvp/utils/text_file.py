"""Text files in the encodings of the field: UTF-8, UTF-16 and UTF-32, Windows-1252."""
import codecs
import logging
import os
import re
import unicodedata
from functools import cache
from pathlib import Path

from mmengine.logging import print_log

from mmseg_mvp.errors import UserError

MAX_BYTES = 2**26
_MARKS = {  # UTF-32's little-endian mark begins with that of UTF-16
    codecs.BOM_UTF8: 'utf-8-sig', codecs.BOM_UTF32_LE: 'utf-32', codecs.BOM_UTF32_BE: 'utf-32',
    codecs.BOM_UTF16_LE: 'utf-16', codecs.BOM_UTF16_BE: 'utf-16'}
_BINARY = re.compile(r'[\0-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff]')  # control characters except white space


def read_text(path: str | Path, fix: str = 'save it as a UTF-8 text file') -> str:
    r"""Read a text file with lines that end in ``\n``, whatever its line ends are.

    A byte order mark decides the encoding. Without one, it is UTF-8, UTF-16 (recognised by its zero bytes) or else
    Windows-1252, which contains Latin-1; the log names a file that is read as Windows-1252.

    Args:
        path (str | Path): Path of the file, at most 64 MiB.
        fix (str): End of the error message: the advice if the file can't be read.

    Raises:
        UserError: If the file is missing, a folder, a device, too large, or not text.
    """
    try:
        # Reading a device or a pipe can block forever.
        if os.path.exists(path) and (not os.path.isfile(path) or os.path.getsize(path) > MAX_BYTES):
            raise OSError('not a file of at most 64 MiB')
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise UserError(f'{str(path)!r} cannot be read ({type(error).__name__}): {fix}.') from error
    text, encoding = decode_text(content)
    if text is None:
        raise UserError(f'{str(path)!r} is not a text file (it begins with {content[:8]!r}): {fix}.')
    if encoding == 'cp1252':
        _tell_encoding(str(path), next(line for line in text.splitlines() if not line.isascii())[:60])
    return text.replace('\r\n', '\n').replace('\r', '\n')


def decode_text(content: bytes) -> tuple[str | None, str]:
    """Decode text, without its byte order mark. Return it with its encoding, or None if the bytes are not text."""
    marked = [encoding for mark, encoding in _MARKS.items() if content.startswith(mark)]
    for encoding in marked[:1] or (_utf16_orders(content) if b'\0' in content else ['utf-8', 'cp1252']):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _BINARY.search(text) and (encoding not in ('utf-16-le', 'utf-16-be') or _is_assigned(text)):
            return text, encoding
    return None, ''


def _utf16_orders(content: bytes) -> list[str]:
    """Return the byte order of UTF-16 without a mark: characters below 256 have zeros in every second byte."""
    zeros = {'utf-16-be': content[::2].count(0), 'utf-16-le': content[1::2].count(0)}
    order = max(zeros, key=zeros.get)
    # ASCII has as many zeros as letters; fewer are separators, such as those of `find -print0`.
    separators = content.replace(b'\0', b'').isascii() and zeros[order] * 2 != len(content)
    return [] if separators or len({*zeros.values()}) == 1 else [order]


def _is_assigned(text: str) -> bool:
    return all(unicodedata.category(letter) not in ('Cn', 'Co') for letter in set(text))


@cache
def _tell_encoding(path: str, line: str) -> None:
    """Log once that a file is read as Windows-1252, with its first line that depends on this."""
    print_log(f'{path!r} is not UTF-8 and is read as Windows-1252 (cp1252), as in {line!r}: save it as UTF-8 if '
              'letters are wrong.', 'current', logging.WARNING)

"""Text in the encodings of the field reads as the same lines, and what is not text is told."""
import logging
import os

import pytest
from fixtures.refusals import refused
from PIL import Image

from mmseg_mvp.utils.text_file import read_text

TEXT = 'café\nsmörgås, naïve\nhouse\n'
OTHER = '猫\n一\n犬小屋\n'


@pytest.mark.parametrize('text', [TEXT, OTHER, 'house\n', ''])
@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_line_ends_and_marks(tmp_path, text, encoding, end):
    (tmp_path / 'a.txt').write_bytes(text.replace('\n', end).encode(encoding))
    assert read_text(tmp_path / 'a.txt') == read_text(str(tmp_path / 'a.txt')) == text


@pytest.mark.parametrize('text', [TEXT, OTHER, 'a'])
@pytest.mark.parametrize('encoding, mark', [('utf-16-le', b'\xff\xfe'), ('utf-16-be', b'\xfe\xff')])
def test_utf16_in_both_orders_with_and_without_mark(tmp_path, text, encoding, mark):
    for content in (text.encode(encoding), mark + text.encode(encoding)):
        (tmp_path / 'a.txt').write_bytes(content)
        assert read_text(tmp_path / 'a.txt') == text


@pytest.mark.parametrize('encoding, text', [('latin-1', TEXT), ('cp1252', 'a “b”\n5 €\n')])
def test_western_text_is_told_once(tmp_path, monkeypatch, encoding, text):
    told = []
    monkeypatch.setattr('mmseg_mvp.utils.text_file.print_log', lambda *args: told.append(args))
    (tmp_path / 'a.txt').write_bytes(text.encode(encoding))
    assert read_text(tmp_path / 'a.txt') == read_text(tmp_path / 'a.txt') == text
    (message, _, level), = told
    assert level == logging.WARNING and all(word in message for word in ('a.txt', 'cp1252', text.split('\n')[0]))


def picture(path, kind):
    Image.radial_gradient('L').convert('RGB').save(path, kind)


@pytest.mark.parametrize('write', [
    lambda path: picture(path, 'PNG'), lambda path: picture(path, 'JPEG'), lambda path: picture(path, 'BMP'),
    lambda path: path.write_bytes(bytes(range(256))), lambda path: path.write_bytes(bytes(4)),
    lambda path: path.write_bytes(b'PK\x03\x04\x14'), lambda path: path.write_bytes('a'.encode('utf-16') + b'b'),
    lambda path: path.write_bytes(b'\x89\x81\x8d'), lambda path: path.write_bytes(b'cat\0\0dog'),
    lambda path: path.write_bytes(b'house\0tree\0'), lambda path: path.write_bytes(b'house\0')])
def test_no_text(tmp_path, write):
    write(tmp_path / 'a.txt')
    refused(lambda: read_text(tmp_path / 'a.txt', 'set a list'), 'a.txt', 'not a text file', 'set a list')


@pytest.mark.parametrize('make, word', [
    (lambda path: None, 'FileNotFoundError'), (os.mkfifo, 'OSError'), (os.mkdir, 'OSError'),
    (lambda path: os.symlink('/dev/zero', path), 'OSError')])
def test_missing_files_devices_and_folders(tmp_path, make, word):
    make(tmp_path / 'a.txt')
    refused(lambda: read_text(tmp_path / 'a.txt'), 'a.txt', 'cannot be read', word)

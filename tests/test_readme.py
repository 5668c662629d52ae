"""The README does what it says: its commands are CI's, its Python runs."""
import re
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()


def blocks(language):
    return re.findall(rf'```{language}\n(.*?)```', README, flags=re.DOTALL)


def test_the_two_commands_are_what_ci_runs():
    ci = (ROOT / '.ci/run').read_text().replace(' --quiet', '')
    for command in (part.strip() for block in blocks('bash')[:2] for part in block.split('&&')):
        assert command in ci, command


def test_the_support_table_is_what_ci_pins():
    rows = re.findall(r'requirements/(\w+)\.txt\) \| [\d.]+ \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| toy demo', README)
    assert [lane for lane, *_ in rows] == ['tested', 'minimum', 'upstream']
    assert {'.ci/lane minimum', '.ci/lane upstream'} <= set((ROOT / '.ci/run').read_text().splitlines())
    for lane, *versions in rows:
        pins = (ROOT / f'requirements/{lane}.txt').read_text().splitlines()
        for name, version in zip(('torch', 'mmcv', 'mmengine', 'mmsegmentation'), versions):
            *fork, number = version.split()
            assert '-'.join([*fork, f'{name}=={number}']) in pins, (lane, name, version)


def test_files_and_links_exist():
    for target in re.findall(r'\]\((?!http)([^)#]+)\)', README) + re.findall(r'(?:configs|tools)/[\w/-]+\.py', README):
        assert (ROOT / target).exists(), target
    for stem in ('voc', 'context', 'ade20k', 'coco_stuff'):
        assert stem in README


def test_three_lines_of_python_segment_a_photo(tmp_path, monkeypatch):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 90, 3), dtype=np.uint8)).save(tmp_path / 'photo.jpg')
    code = blocks('python')[0]
    for name in ('photo.jpg', 'photo_seg.png'):
        code = code.replace(repr(name), repr(str(tmp_path / name)))
    monkeypatch.chdir(ROOT)
    exec(code, scope := {})
    assert len(code.strip().splitlines()) == 3
    drawn = scope['seg'](str(tmp_path / 'photo.jpg'), classes='bird, rocket, picture').draw()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'photo_seg.png')), drawn)

"""The README does what it says: its commands are CI's, its Python runs."""
import csv
import re
from pathlib import Path

import numpy as np
import pytest
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


# Start of a row of the toy table: CSV of docs/, its row, and other columns.
TOY = {
    'MaskCLIP (': ('ablation', 'templates', {'clip': '0'}),
    'MVP-SEG, one prompt': ('ablation', 'k=1, M=18 + GPR', {'clip': '0'}),
    'MVP-SEG, as printed': ('ablation', 'k=3, M=6, sum, OCLoss + GPR', {'clip': '0'}),
    'MVP-SEG, three coop': ('ablation', 'k=3, M=6, log-sum-exp + GPR', {'clip': '0'}),
    'LSeg, ': ('lseg', 'LSeg without regularization (depth 0)', {}),
    'MVP-SEG+ (': ('transfer', 'student after phase 2 (MVP-SEG+)', {})}


def runs_of(study, row, other):
    with open(ROOT / f'docs/toy_{study}.csv', newline='') as file:
        return [one for one in csv.DictReader(file) if one['row'] == row and other.items() <= one.items()]


@pytest.mark.parametrize('start', TOY)
def test_the_toy_table_is_that_of_the_single_runs(start):
    line, = re.findall(rf'^\| ({re.escape(start)}.*) \|$', README, flags=re.MULTILINE)
    found = runs_of(*TOY[start])
    assert len(found) == (1 if start == 'MaskCLIP (' else 3)
    for cell, key in zip(line.split(' | ')[1:], ('mIoU_S', 'mIoU_U', 'hIoU'), strict=True):
        values = np.array([float(one[key]) for one in found])
        spread = f' ± {values.std(ddof=1):.1f}' if len(values) > 1 else ''
        assert cell == f'{values.mean():.1f}{spread}'


def test_the_gain_of_three_prompts_is_that_of_nine_runs():
    one, three = ({(run['clip'], run['seed']): float(run['hIoU']) for run in runs_of('ablation', row, {})}
                  for row in ('k=1, M=18 + GPR', 'k=3, M=6, log-sum-exp + GPR'))
    assert len(one) == 9 and all(three[key] > one[key] for key in one)
    gain = np.mean([three[key] - one[key] for key in one])
    assert f'{gain:+.1f} over one prompt in nine runs on three CLIPs' in README


@pytest.mark.parametrize('study', ['lseg', 'transfer', 'ablation'])
def test_tables_of_the_studies_are_those_of_their_single_runs(study):
    page = (ROOT / f'docs/toy_{study}.md').read_text()
    with open(ROOT / f'docs/toy_{study}.csv', newline='') as file:
        runs = [one for one in csv.DictReader(file) if one.get('clip', '0') == '0']
    for row in {one['row'] for one in runs}:
        line = next(line for line in page.splitlines() if line.startswith(f'| {row} |'))
        cells = line.split(' | ')[1:4]
        for cell, key in zip(cells, ('mIoU_S', 'mIoU_U', 'hIoU'), strict=True):
            values = [float(one[key]) for one in runs if one['row'] == row]
            assert float(cell.split()[0]) == pytest.approx(np.mean(values), abs=0.0501), (row, key)


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

"""The README does what it says: its blocks are what CI runs, and they run here."""
import csv
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mmseg_mvp import __version__

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text()
SCRIPT = runpy.run_path(str(ROOT / '.ci/readme.py'))['script']()


def blocks(language):
    return re.findall(rf'```{language}\n(.*?)```', README, flags=re.DOTALL)


def test_ci_runs_all_blocks_in_order_and_the_tests_at_last():
    ci = (ROOT / '.ci/run').read_text().replace(' --quiet', '')
    *first, last = blocks('(?:bash|python)')
    places = [SCRIPT.index(code.replace('REPOSITORY', f"'{ROOT}'")) for code in first]
    assert places == sorted(places) and len(places) == 3
    assert 'readme.py > ' in ci and 'bash -euxo pipefail readme.sh' in ci
    install, tests = last.strip().split(' && ')
    assert f'{install}\nruff check\n{tests}\n' in ci and ci.endswith(f'{tests}\n')


def test_each_block_of_commands_says_what_it_needs():
    parts = re.split(r'```(?:bash|python)\n.*?```\n', README, flags=re.DOTALL)[:-1]
    assert len(parts) == 4
    for part in parts:
        assert re.search(r'\b[Nn]eeds\b', part.strip().split('\n\n')[-1]), part[-200:]


def test_the_support_table_is_what_ci_pins():
    text = (ROOT / 'docs/support.md').read_text()
    rows = re.findall(r'requirements/(\w+)\.txt\) \| [\d.]+ \| (.+?) \| (.+?) \| (.+?) \| (.+?) \| toy demo', text)
    assert [lane for lane, *_ in rows] == ['tested', 'minimum', 'upstream']
    assert {'.ci/lane minimum', '.ci/lane upstream'} <= set((ROOT / '.ci/run').read_text().splitlines())
    for lane, *versions in rows:
        pins = [line.split(';')[0] for line in (ROOT / f'requirements/{lane}.txt').read_text().splitlines()]
        for name, version in zip(('torch', 'mmcv', 'mmengine', 'mmsegmentation'), versions):
            *fork, number = version.split()
            assert '-'.join([*fork, f'{name}=={number}']) in pins, (lane, name, version)


def test_files_and_links_exist():
    for target in re.findall(r'\]\((?!http)([^)#]+)\)', README) + re.findall(r'(?:configs|tools)/[\w/-]+\.py', README):
        assert (ROOT / target).exists(), target


def test_published_figures_are_those_of_the_model_zoo():
    tables = yaml.safe_load((ROOT / 'docs/published.yaml').read_text())['tables']
    known = {str(entry['rows']): entry['published'] for name in ('maskclip', 'mvp-seg-plus')
             for entry in tables[name]['entries'] if entry.get('published')}
    sets = list(tables['training-free']['sets'])
    naclip = next(one['published'] for one in tables['training-free']['entries'] if one['cells'] == ['NACLIP'])
    figures = {name: [float(one) for one in re.findall(r'\d+\.\d', row)]
               for name, row in re.findall(r'^\| ([\w+-]+) \| [^|]+ \| ([mh]IoU \d.+) \|$', README, re.MULTILINE)}
    assert figures['MaskCLIP'] == [known[f'maskclip/{name}_zs'] for name in ('voc', 'context', 'coco_stuff')]
    assert figures['NACLIP'] == [naclip[sets.index(name)] for name in ('voc20', 'context59', 'coco_stuff')]
    assert figures['MVP-SEG+'] == [known['mvp-seg-plus/coco_stuff_zs'][-1]]
    page = (ROOT / 'docs/model_zoo.md').read_text()
    assert len(figures['LSeg']) == 3 and all(f'| {figure} |' in page for figure in figures['LSeg'])


def test_the_citation_is_of_this_version_and_of_the_papers():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == __version__ and f'version={{{__version__}}}' in README
    for one in citation['references']:
        number = one['url'].rpartition('/')[2]
        assert f'arXiv:{number}' in README and one['title'] in README and one['authors'][0]['family-names'] in README


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


def test_three_lines_of_python_draw_the_last_panel(tmp_path, monkeypatch):
    code, = blocks('python')
    monkeypatch.chdir(ROOT)
    exec(code.replace("'photo_seg.png'", repr(str(tmp_path / 'photo_seg.png'))), scope := {})
    assert len(code.strip().splitlines()) == 3
    out = scope['seg']('docs/images/photo.png', classes='bird, rocket, picture')
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / 'photo_seg.png')), out.draw())
    assert set(np.unique(out.label_map)) == {0, 1, 2}


@pytest.mark.slow
def test_the_script_of_ci_runs_without_its_install_and_its_demo(tmp_path):
    """CI runs all of it; here, a copy of the checkout stands for the clone."""
    for name in ('mmseg_mvp', 'tools', 'configs', 'mmseg_mvp_cli.py'):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / 'docs/images', tmp_path / 'docs/images')
    script = re.sub(r'^(git clone|pip install|mmseg-mvp demo).*\n', '', SCRIPT, flags=re.MULTILINE)
    script = script.replace('mmseg-mvp ', 'python -m mmseg_mvp ')
    environment = dict(os.environ, PYTHONPATH=str(tmp_path), PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
    done = subprocess.run(['bash', '-euc', script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    by_command, by_python = (np.asarray(Image.open(tmp_path / name)) for name in (
        'segmented/photo_seg.png', 'photo_seg.png'))
    np.testing.assert_array_equal(by_command, by_python)

"""What travels in the wheel, what an install must not do, and how wide the sources are."""
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from mmseg_mvp.host import MAINTAINED, UPSTREAM

ROOT = Path(__file__).parents[1]
PARTS = ('mmseg_mvp', 'configs', 'tools', 'requirements')
SOURCES = ('mmseg_mvp', 'configs', 'tools', 'tests', 'benchmarks', 'docs')
FILES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE', 'mmseg_mvp_cli.py')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, so that the checkout stays as it is."""
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns('__pycache__'))
    for file in FILES:
        shutil.copy(ROOT / file, source)
    (source / 'docs').mkdir()
    shutil.copy(ROOT / 'docs/published.yaml', source / 'docs')
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
                    '--wheel-dir', out, source], check=True)
    with zipfile.ZipFile(next(out.glob('mmseg_mvp-*.whl'))) as archive:
        yield archive


def requirements(name: str) -> list[Requirement]:
    """The requirements of requirements/NAME.txt."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [Requirement(line.split(' #')[0]) for line in lines if line and not line.startswith('#')]


def files_below(folder: Path, *endings: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')
            if path.suffix in endings and '__pycache__' not in path.parts}


@pytest.mark.slow
@pytest.mark.parametrize('part', ['configs', 'tools'])
def test_configs_and_tools_travel_as_mim_expects(wheel, part):
    prefix = f'mmseg_mvp/.mim/{part}/'
    packed = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    assert packed == files_below(ROOT / part, '.py', '.sh', '.yaml')


@pytest.mark.slow
def test_modules_and_data_travel(wheel):
    expected = files_below(ROOT / 'mmseg_mvp', '.py', '.txt', '.json', '.safetensors')
    packed = {name.removeprefix('mmseg_mvp/') for name in wheel.namelist()
              if name.startswith('mmseg_mvp/') and '/.mim/' not in name}
    assert packed == expected
    assert {'vocabularies/voc20.txt', 'clip/shipped/toy-rn.safetensors', 'clip/shipped/toy-vit.safetensors'} <= packed
    assert not any(name.startswith(('tests/', 'tools/', 'configs/')) for name in wheel.namelist())
    assert {'mmseg_mvp_cli.py', 'mmseg_mvp/.mim/docs/published.yaml'} <= set(wheel.namelist())
    entry = wheel.read(next(name for name in wheel.namelist() if name.endswith('entry_points.txt'))).decode()
    assert 'mmseg-mvp=mmseg_mvp_cli:main' in entry.replace(' ', '')


@pytest.mark.slow
def test_runtime_needs_no_mmseg_stack(wheel):
    """Upstream's distributions and the maintained ones write the same files: pip must not choose between them."""
    metadata = message_from_bytes(wheel.read(next(n for n in wheel.namelist() if n.endswith('METADATA'))))
    required = metadata.get_all('Requires-Dist')
    assert not [line for line in required if re.match('(onedl-)?mm', line) and 'extra ==' not in line]
    assert {'onedl-mmcv', 'onedl-mmengine', 'onedl-mmsegmentation', 'torch'} == {
        re.match('[a-z-]+', line).group() for line in required if 'extra == "host"' in line}


@pytest.mark.parametrize('pins, stack, python', [
    ('tested', 'host', '3.11'), ('tested', 'host', '3.10'), ('minimum', 'host', '3.10'),
    ('upstream', 'mminstall', '3.11')])
def test_pinned_versions_fit_the_ranges(pins, stack, python):
    """The pins of a lane hold every direct requirement to a version that is allowed."""
    pinned = {canonicalize_name(one.name): next(iter(one.specifier)) for one in requirements(pins)
              if not one.marker or one.marker.evaluate(dict(python_version=python))}
    names = ('runtime', stack, 'annotations', 'export', 'tokenizers', 'video', 'web', 'tests')
    for one in (one for name in names for one in requirements(name)):
        pin = pinned[canonicalize_name(one.name)]
        assert pin.operator == '==' and one.specifier.contains(pin.version), one


@pytest.mark.parametrize('file, stack', [('host', MAINTAINED), ('mminstall', UPSTREAM)])
def test_host_check_and_requirements_agree(file, stack):
    """The ranges that `import mmseg_mvp` accepts are those that are installed."""
    ranges = {one.name: one.specifier for one in requirements('runtime') + requirements(file)}
    assert {name: ranges[name] for name in stack} == {name: SpecifierSet(text) for name, text in stack.items()}


def test_lines_end_at_120_characters():
    files = [path for part in SOURCES for path in (ROOT / part).rglob('*.py')] + [*ROOT.glob('*.py')]
    long = [f'{path.relative_to(ROOT)}:{number}' for path in files
            for number, line in enumerate(path.read_text('utf-8').split('\n'), 1) if len(line) > 120]
    assert not long

"""What travels in the wheel, and what an install must not do."""
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ('mmseg_mvp', 'configs', 'tools', 'requirements')
FILES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE')


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel built from a copy of the sources, so that the checkout stays as it is."""
    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns('__pycache__'))
    for file in FILES:
        shutil.copy(ROOT / file, source)
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
                    '--wheel-dir', out, source], check=True)
    with zipfile.ZipFile(next(out.glob('mmseg_mvp-*.whl'))) as archive:
        yield archive


def files_below(folder: Path, *endings: str) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')
            if path.suffix in endings and '__pycache__' not in path.parts}


@pytest.mark.slow
@pytest.mark.parametrize('part', ['configs', 'tools'])
def test_configs_and_tools_travel_as_mim_expects(wheel, part):
    prefix = f'mmseg_mvp/.mim/{part}/'
    packed = {name.removeprefix(prefix) for name in wheel.namelist() if name.startswith(prefix)}
    assert packed == files_below(ROOT / part, '.py', '.sh')


@pytest.mark.slow
def test_modules_and_data_travel(wheel):
    expected = files_below(ROOT / 'mmseg_mvp', '.py', '.txt', '.json', '.safetensors')
    packed = {name.removeprefix('mmseg_mvp/') for name in wheel.namelist()
              if name.startswith('mmseg_mvp/') and '/.mim/' not in name}
    assert packed == expected
    assert {'vocabularies/voc20.txt', 'clip/shipped/toy-rn.safetensors'} <= packed
    assert not any(name.startswith(('tests/', 'tools/', 'configs/')) for name in wheel.namelist())


@pytest.mark.slow
def test_runtime_needs_no_mmseg_stack(wheel):
    """Upstream's distributions and the maintained ones write the same files: pip must not choose between them."""
    metadata = message_from_bytes(wheel.read(next(n for n in wheel.namelist() if n.endswith('METADATA'))))
    required = metadata.get_all('Requires-Dist')
    assert not [line for line in required if re.match('(onedl-)?mm', line) and 'extra ==' not in line]
    assert {'onedl-mmcv', 'onedl-mmengine', 'onedl-mmsegmentation'} == {
        re.match('[a-z-]+', line).group() for line in required if 'extra == "host"' in line}


def test_tested_versions_fit_the_ranges():
    """requirements/tested.txt pins every direct requirement of the host install to a version that is allowed."""
    from packaging.requirements import Requirement
    lines = (ROOT / 'requirements/tested.txt').read_text().splitlines()
    pins = {name.lower().replace('-', '_'): version for name, version in
            (line.split('==') for line in lines if not line.startswith('#'))}
    for name in ('runtime', 'host', 'export', 'web', 'tests'):
        for line in (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines():
            if line and not line.startswith('#'):
                requirement = Requirement(line)
                assert requirement.specifier.contains(pins[requirement.name.lower().replace('-', '_')]), line


def test_host_check_and_requirements_agree():
    """The ranges that `import mmseg_mvp` accepts are those that the extra installs."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    from mmseg_mvp.host import SUPPORTED
    accepted = {name: SpecifierSet(text) for ranges in SUPPORTED.values() for name, text in ranges.items()}
    for file in ('host.txt', 'mminstall.txt'):
        for line in (ROOT / 'requirements' / file).read_text().splitlines():
            if line and not line.startswith('#'):
                requirement = Requirement(line)
                assert accepted[requirement.name] == requirement.specifier, line

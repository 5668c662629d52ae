"""The host check against spelled-out sets of installed distributions."""
import subprocess
import sys

import pytest

from mmseg_mvp.errors import UserError
from mmseg_mvp.host import HostError, check_host

FORK = {'torch': '2.15.0', 'open_clip_torch': '3.3.0', 'onedl-mmcv': '2.3.6', 'onedl-mmengine': '0.10.12',
        'onedl-mmsegmentation': '1.4.2'}
UPSTREAM = {'torch': '2.1.2+cpu', 'open_clip_torch': '3.3.0', 'mmcv': '2.1.0', 'mmengine': '0.10.7',
            'mmsegmentation': '1.2.2'}


@pytest.mark.parametrize('installed', [FORK, UPSTREAM], ids=['fork', 'upstream'])
def test_both_stacks_pass(installed):
    check_host(installed.get)


def test_this_environment_passes():
    check_host()


@pytest.mark.parametrize('change, expected', [
    ({'onedl-mmcv': None}, 'mmcv is not installed'),
    ({'open_clip_torch': None}, 'open_clip is not installed'),
    ({'torch': '1.13.1'}, 'torch is 1.13.1, but >=2.0 is supported'),
    ({'onedl-mmsegmentation': '2.0.0'}, 'onedl-mmsegmentation is 2.0.0, but >=1.4.2,<2 is supported'),
    ({'mmengine': '0.10.7'}, 'mmengine is installed twice (onedl-mmengine 0.10.12 and mmengine 0.10.7'),
])
def test_a_fault_is_named_with_its_mend(change, expected):
    with pytest.raises(HostError) as caught:
        check_host({**FORK, **change}.get)
    assert expected in str(caught.value)
    assert str(caught.value).endswith('pip install -e ".[host]" -c requirements/tested.txt')
    assert '\n' not in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(UserError, match='mmcv is not installed; mmengine is not installed; mmseg is not installed'):
        check_host({name: FORK[name] for name in ('torch', 'open_clip_torch')}.get)


@pytest.mark.slow
def test_sentence_survives_custom_imports(tmp_path):
    """mmengine turns ImportErrors of custom_imports into advice on PYTHONPATH; ours must come through as it is."""
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['mmseg_mvp'], allow_failed_imports=False)\n")
    program = ('from importlib import metadata\n'
               'real = metadata.version\n'
               "metadata.version = lambda name: '2.0.0' if name == 'onedl-mmcv' else real(name)\n"
               'from mmengine.config import Config\n'
               f'Config.fromfile({str(config)!r})\n')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mmseg_mvp.host.HostError: MMSeg-MVP can't start: onedl-mmcv is 2.0.0, but")

"""The host check against spelled-out sets of installed distributions."""
import subprocess
import sys
import warnings

import pytest
from mmseg.models import SegDataPreProcessor

from mmseg_mvp import host
from mmseg_mvp.host import HostError, check_host, quiet_imports, swaps_channels

FORK = {'torch': '2.15.0', 'open_clip_torch': '3.3.0', 'onedl-mmcv': '2.3.6', 'onedl-mmengine': '0.10.12',
        'onedl-mmsegmentation': '1.4.2'}
UPSTREAM = {'torch': '2.1.2+cpu', 'numpy': '1.26.4', 'open_clip_torch': '3.3.0', 'mmcv': '2.1.0',
            'mmengine': '0.10.7', 'mmsegmentation': '1.2.2'}
MAINTAINED_LINE = 'pip install -e ".[host]" -c requirements/tested.txt'


def sentence(installed):
    """What an environment is told, with `installed` the version of each distribution; one line, and a HostError."""
    with pytest.raises(HostError) as caught:
        check_host(installed.get)
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize('installed', [FORK, UPSTREAM], ids=['fork', 'upstream'])
def test_both_stacks_pass(installed):
    check_host(installed.get)


def test_this_environment_passes():
    check_host()


@pytest.mark.parametrize('change, expected', [
    ({'onedl-mmcv': None}, 'onedl-mmcv is not installed'),
    ({'open_clip_torch': None}, 'open_clip_torch is not installed'),
    ({'torch': '2.2.2'}, 'torch is 2.2.2, but >=2.3 is supported'),
    ({'onedl-mmsegmentation': '2.0.0'}, 'onedl-mmsegmentation is 2.0.0, but >=1.4.0,<2 is supported'),
])
def test_a_fault_is_named_with_its_mend(change, expected):
    told = sentence({**FORK, **change})
    assert expected in told and told.endswith('; in its checkout, run: ' + MAINTAINED_LINE)


def test_two_stacks_in_one_environment_are_told_with_all_their_parts():
    told = sentence({**FORK, 'mmengine': '0.10.7', 'mmcv': '2.1.0'})
    parts = ['onedl-mmcv', 'onedl-mmengine', 'onedl-mmsegmentation', 'mmcv', 'mmengine']
    assert f"({', '.join(parts)})" in told and 'overwrite each other' in told
    assert told.endswith(f"run: pip uninstall {' '.join(parts)} && {MAINTAINED_LINE}")


def test_upstream_under_a_torch_that_it_can_not_load_checkpoints_with():
    """mmengine 0.10.7 fails to resume and to test from torch 2.6 on; its compiled mmcv fits no other torch."""
    told = sentence({**UPSTREAM, 'torch': '2.6.0'})
    assert 'torch is 2.6.0, but >=2.1,<2.6 is supported' in told
    assert told.endswith(f'run: pip uninstall mmcv mmengine mmsegmentation && {MAINTAINED_LINE}')


@pytest.mark.parametrize('change, expected', [
    ({'numpy': '2.4.6'}, 'numpy is 2.4.6, but <2 is supported'),
    ({'mmcv': '2.2.0'}, 'mmcv is 2.2.0, but >=2.1.0,<2.2.0 is supported'),
    ({'mmengine': None}, 'mmengine is not installed'),
])
def test_a_fault_of_upstream_is_mended_by_upstream(change, expected):
    told = sentence({**UPSTREAM, **change})
    assert expected in told and 'onedl' not in told
    assert told.endswith('-r requirements/mminstall.txt -c requirements/upstream.txt')


def test_a_wheel_which_has_no_requirements_files_names_the_packages(monkeypatch):
    monkeypatch.setattr(host, 'MAINTAINED_ADVICE', f'run: {host.INSTALL_PACKAGES}')
    told = sentence({'torch': '2.15.0', 'open_clip_torch': '3.3.0'})
    line = ('pip install "torch>=2.3" "open_clip_torch>=3.0,<4" "onedl-mmcv>=2.3.2,<3" "onedl-mmengine>=0.10.8,<1" '
            '"onedl-mmsegmentation>=1.4.0,<2"')
    assert told.endswith(f'; run: {line}')
    told = sentence({**FORK, 'mmcv': '2.1.0'})
    assert told.endswith('; run: pip uninstall onedl-mmcv onedl-mmengine onedl-mmsegmentation mmcv && ' + line)


@pytest.mark.parametrize('in_checkout, expected', [
    (True, 'in the checkout, run: pip install -e ".[web]" -c requirements/tested.txt'),
    (False, 'run: pip install "gradio<7,>=6.31" "other"')])
def test_an_extra_is_that_of_the_checkout_or_its_packages(monkeypatch, in_checkout, expected):
    wanted = ["gradio<7,>=6.31; extra == 'web'", 'other ; extra == "web"', 'onnx>=1.17; extra == "export"', 'numpy>=1']
    monkeypatch.setattr(host, 'IN_CHECKOUT', in_checkout)
    monkeypatch.setattr(host.metadata, 'requires', lambda name: wanted)
    assert host.extra_advice('web') == expected


def test_all_faults_are_told_at_once():
    told = sentence({name: FORK[name] for name in ('torch', 'open_clip_torch')})
    assert all(f'onedl-{name} is not installed' in told for name in ('mmcv', 'mmengine', 'mmsegmentation'))


@pytest.mark.parametrize('settings, expected', [
    ({}, False), (dict(bgr_to_rgb=True), True), (dict(rgb_to_bgr=True), True)])
def test_either_stacks_data_preprocessor_tells_whether_it_swaps_channels(settings, expected):
    assert swaps_channels(SegDataPreProcessor(**settings)) is expected


@pytest.mark.slow
def test_sentence_survives_custom_imports(tmp_path):
    """mmengine turns ImportErrors of custom_imports into advice on PYTHONPATH; ours must come through as it is."""
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['mmseg_mvp'], allow_failed_imports=False)\n")
    program = ('from importlib import metadata\n'
               'real = metadata.version\n'
               "metadata.version = lambda name: '2.9.0' if name == 'open_clip_torch' else real(name)\n"
               'from mmengine.config import Config\n'
               f'Config.fromfile({str(config)!r})\n')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("mmseg_mvp.host.HostError: MMSeg-MVP can't start: open_clip_torch is 2.9.0, but")


def test_notices_about_optional_packages_are_hidden_and_nothing_else(capsys):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        with quiet_imports():
            print('before')
            print('Could not import OneDL')
            print('Could not import OneDL')
            print('')
            print('after', 'it')
            warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops``', stacklevel=1)
            warnings.warn('another', stacklevel=1)
    assert capsys.readouterr().out == 'before\n\nafter it\n'
    assert [str(one.message) for one in told] == ['another']


def test_without_a_stdout_nothing_is_written(monkeypatch):
    monkeypatch.setattr(sys, 'stdout', None)
    with quiet_imports():
        print('lost')
    assert sys.stdout is None


@pytest.mark.slow
def test_an_import_prints_nothing():
    done = subprocess.run([sys.executable, '-c', 'import mmseg_mvp'], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')

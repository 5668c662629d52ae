"""A user's mistake ends in one sentence and a non-zero exit code, a defect in a traceback."""
import re

import pytest
from mmengine.registry import Registry
from torch.utils.data import DataLoader, Dataset

from mmseg_mvp import app
from mmseg_mvp.errors import UserError


class BrokenDataset(Dataset):
    """Raises in the worker process."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        raise UserError('image a.png is unreadable.\nExpected:\na: tree')


def exit_sentence(capsys, error: Exception) -> str:
    with pytest.raises(SystemExit) as caught, app.user_errors():
        raise error
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_user_error_is_printed_alone(capsys):
    assert exit_sentence(capsys, UserError('name it.')) == 'error: name it.\n'


@pytest.mark.slow
def test_user_error_of_a_data_loader_worker_loses_its_traceback(capsys):
    with pytest.raises(UserError) as caught:
        next(iter(DataLoader(BrokenDataset(), num_workers=1)))
    assert 'Traceback' in str(caught.value), 'torch wraps the text: what this test is about'
    assert exit_sentence(capsys, caught.value) == 'error: image a.png is unreadable.\nExpected:\na: tree\n'


def test_full_disk_is_told_whoever_meets_it(capsys):
    with pytest.raises(OSError) as caught, open('/dev/full', 'w') as log:
        log.write('loss: 1')
    assert re.fullmatch(r'error: the disk is full \(OSError: .* No space left on device\): free disk space.*--resume\n',
                        exit_sentence(capsys, caught.value))


@pytest.mark.parametrize('place', ['file/inside', 'missing/file', 'x' * 300])
def test_paths_that_the_system_refuses(capsys, tmp_path, place):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError) as caught:
        (tmp_path / place).mkdir()
    sentence = exit_sentence(capsys, caught.value)
    assert sentence.startswith('error: a file or folder cannot be used (') and place in sentence


@pytest.mark.parametrize('cfg, named', [(dict(type='Nobody'), 'Nobody'), (dict(type='Pair', third=3), 'third')])
def test_config_that_does_not_fit_a_component_is_the_users(capsys, cfg, named):
    registry = Registry('things')
    registry.register_module('Pair', module=lambda first=1, second=2: None)
    with pytest.raises((KeyError, TypeError)) as caught:
        registry.build(cfg)
    sentence = exit_sentence(capsys, caught.value)
    assert sentence.startswith('error: the config does not fit') and named in sentence and sentence.count('\n') == 1


@pytest.mark.parametrize('error', [TypeError('a defect'), KeyError('a defect'), RuntimeError('a defect')])
def test_defects_keep_their_traceback(error):
    with pytest.raises(type(error), match='a defect'), app.user_errors():
        raise error


def test_defect_inside_a_built_component_keeps_its_traceback():
    def broken():
        return {}['a defect']

    registry = Registry('things')
    registry.register_module('Broken', module=broken)
    with pytest.raises(KeyError, match='a defect'), app.user_errors():
        registry.build(dict(type='Broken'))

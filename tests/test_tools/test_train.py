"""How the flags of tools/train.py change the config."""
import pytest
import torch
from fixtures.tools import load_tool
from mmengine.config import Config

from mmseg_mvp.errors import UserError


@pytest.fixture(scope='module')
def tool():
    return load_tool('train.py')


@pytest.fixture
def cfg(tmp_path):
    return Config(dict(work_dir=str(tmp_path), load_from='start.pth', optim_wrapper=dict(type='OptimWrapper')))


def save(path, **meta) -> None:
    torch.save(dict(state_dict={}, message_hub={}, optimizer={}, meta=dict(dict(iter=2, epoch=0), **meta)), path)


UNREAD = 'has no readable config: its settings are not compared'


def test_resume_takes_the_latest_checkpoint(tool, cfg, tmp_path):
    checkpoint = tmp_path / 'iter_2.pth'
    save(checkpoint)
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    note, = tool.resume(cfg, 'auto')
    assert UNREAD in note
    assert (cfg.resume, cfg.load_from) == (True, str(checkpoint))


def test_resume_without_a_checkpoint_starts_as_the_config_says(tool, cfg):
    assert tool.resume(cfg, 'auto') == []
    assert not cfg.get('resume') and cfg.load_from == 'start.pth'


def test_resume_takes_the_one_before_a_truncated_checkpoint_and_says_so(tool, cfg, tmp_path):
    (tmp_path / 'iter_2.pth').write_bytes(b'PK half')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    with pytest.raises(UserError, match='No checkpoint of .* is complete .*iter_2.pth'):
        tool.resume(cfg, 'auto')
    save(tmp_path / 'iter_1.pth')
    note, other = tool.resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, str(tmp_path / 'iter_1.pth'))
    assert UNREAD in other
    assert note == (f"{tmp_path / 'iter_2.pth'} is missing or was not written completely: training resumes from "
                    f"{tmp_path / 'iter_1.pth'}.")


@pytest.mark.parametrize('named', [False, True])
def test_resume_refuses_a_checkpoint_of_another_method(tool, cfg, tmp_path, named):
    cfg.model = dict(type='LSeg')
    checkpoint = tmp_path / 'iter_2.pth'
    save(checkpoint, cfg="model = dict(type='MVPSEG')")
    with pytest.raises(UserError, match='iter_2.pth is of another method: its model.type is MVPSEG'):
        tool.resume(cfg, str(checkpoint) if named else 'auto')
    assert not cfg.get('resume') and cfg.load_from == 'start.pth'


def test_resume_says_each_difference(tool, cfg, tmp_path):
    cfg.train_cfg = dict(max_iters=9)
    save(tmp_path / 'iter_5.pth', cfg="optim_wrapper = dict(type='OptimWrapper')\ntrain_cfg = dict(max_iters=5)",
         iter=5)
    assert tool.resume(cfg, 'auto') == [
        'train_cfg.max_iters is 5 in the checkpoint and 9 in the config: the value of the config holds.']


def test_resume_says_each_state_that_is_lost(tool, cfg, tmp_path):
    cfg.param_scheduler = [dict(type='PolyLR')]
    save(tmp_path / 'iter_2.pth')
    assert any('has no state of param_scheduler' in note for note in tool.resume(cfg, 'auto'))
    torch.save(dict(state_dict={}), tmp_path / 'iter_2.pth')
    with pytest.raises(UserError, match='iter_2.pth cannot be resumed, because it has no message_hub'):
        tool.resume(cfg, 'auto')


def test_a_finished_run_ends_with_a_sentence(tool, cfg, tmp_path, capsys):
    cfg.train_cfg = dict(max_iters=5)
    save(tmp_path / 'iter_5.pth', iter=5)
    with pytest.raises(SystemExit) as end:
        tool.resume(cfg, 'auto')
    assert end.value.code == 0 and '\nNothing is left to train: checkpoint ' in capsys.readouterr().out


def test_amp_swaps_the_optimizer_wrapper(tool, cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    tool.enable_amp(cfg)
    assert cfg.optim_wrapper == dict(type='AmpOptimWrapper', loss_scale='dynamic')
    cfg.optim_wrapper = dict(type='OtherWrapper')
    with pytest.raises(UserError, match='OtherWrapper'):
        tool.enable_amp(cfg)


def test_amp_needs_a_gpu(tool, cfg, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(UserError, match='--amp needs a GPU'):
        tool.enable_amp(cfg)

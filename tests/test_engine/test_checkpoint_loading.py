"""mmengine reads checkpoints as data, wherever they come from and whoever asks."""
import os
from urllib.parse import urlparse

import pytest
import torch
from fixtures.payloads import write_checkpoint
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, load_checkpoint
from mmengine.runner.checkpoint import get_external_models, get_torchvision_models, save_checkpoint
from torch import nn

import mmseg_mvp  # noqa: F401
from mmseg_mvp.errors import UserError

URLS = {'https://example.com/weights.pth': 'https://example.com/weights.pth',
        'open-mmlab://resnet101_v1c': get_external_models()['resnet101_v1c'],
        'torchvision://resnet101': get_torchvision_models()['resnet101']}


@pytest.fixture(params=URLS)
def fetched(request, tmp_path, monkeypatch):
    """A source elsewhere, and the file that it was fetched to."""
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    return request.param, tmp_path / 'checkpoints' / os.path.basename(urlparse(URLS[request.param]).path)


def test_a_local_checkpoint_of_mmengine(tmp_path):
    saved, model = nn.Linear(2, 3), nn.Linear(2, 3)
    hub = dict(log_scalars=dict(loss=HistoryBuffer([1.], [1])))
    save_checkpoint(dict(state_dict=saved.state_dict(), message_hub=hub), str(tmp_path / 'a.pth'))
    read = load_checkpoint(model, str(tmp_path / 'a.pth'))
    assert torch.equal(model.weight, saved.weight) and read['message_hub']['log_scalars']['loss'].current() == 1


def test_the_device_is_mmengines(tmp_path):
    torch.save(dict(state_dict=dict(a=torch.ones(2))), tmp_path / 'a.pth')
    for device in ('meta', torch.device('meta')):
        read = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'), device)
        assert read['state_dict']['a'].device.type == 'meta'


@pytest.mark.parametrize('zipped', [True, False])
def test_a_local_payload_does_not_run(tmp_path, zipped):
    model = nn.Linear(2, 3)
    proof = write_checkpoint(tmp_path / 'evil.pth', zipped, state_dict=model.state_dict())
    for load in (lambda path: load_checkpoint(model, path),
                 lambda path: BaseModule(init_cfg=dict(type='Pretrained', checkpoint=path)).init_weights()):
        with pytest.raises(UserError, match=f'evil.pth .*({os.name}.system|only torch 2.6)'):
            load(str(tmp_path / 'evil.pth'))
    assert not proof.exists()


def test_a_missing_file_is_mmengines(tmp_path):
    with pytest.raises(FileNotFoundError, match='none.pth'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'none.pth'))


@pytest.mark.parametrize('before', [None, '0'])
def test_a_fetched_payload_does_not_run(fetched, before, monkeypatch):
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    if before:
        monkeypatch.setenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', before)
    source, file = fetched
    proof = write_checkpoint(file, state_dict=nn.Linear(2, 3).state_dict())
    with pytest.raises(UserError, match=f'{source} is not read.*fetch the file yourself'):
        CheckpointLoader.load_checkpoint(source)
    assert not proof.exists() and os.environ.get('TORCH_FORCE_WEIGHTS_ONLY_LOAD') == before


def test_fetched_weights(fetched):
    source, file = fetched
    torch.save(dict(state_dict=dict(a=torch.ones(2))), file)
    assert CheckpointLoader.load_checkpoint(source, 'cpu')['state_dict']['a'].tolist() == [1, 1]

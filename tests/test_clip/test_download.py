"""Weights of pretrained tags: addresses of open_clip's tables, places on this machine, the message of each tool."""
import importlib.util
import pickle
from types import SimpleNamespace

import open_clip
import pytest
from fixtures.docs import ROOT
from open_clip.pretrained import get_pretrained_cfg, get_pretrained_url

from mmseg_mvp import app
from mmseg_mvp.app.arguments import clip_setting
from mmseg_mvp.app.errors import user_sentence
from mmseg_mvp.clip import WeightsOutOfReach, download
from mmseg_mvp.clip.download import addresses, file_at_hand, place_of
from mmseg_mvp.errors import UserError

OPENAI = ('ViT-B-16-quickgelu', 'openai')
HUB = ('ViT-B-16', 'laion2b_s34b_b88k')


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setattr(download, 'try_to_load_from_cache', lambda repository, file: None)
    return tmp_path


def test_addresses_are_those_of_open_clip():
    repository = get_pretrained_cfg(*HUB)['hf_hub'].rstrip('/')
    assert addresses(*OPENAI)[0] == get_pretrained_url(*OPENAI)
    assert len(addresses(*HUB)) == 1 and addresses(*HUB)[0].endswith(f' of https://huggingface.co/{repository}')
    assert (place_of(*OPENAI), place_of(*HUB)) == ('~/.cache/clip/ViT-B-16.pt', None)
    assert all(addresses(*pair) for pair in open_clip.list_pretrained())


@pytest.mark.parametrize('pair', [OPENAI, HUB])
def test_without_a_network_one_sentence_names_address_and_place(home, monkeypatch, pair):
    monkeypatch.setattr(download, 'unreachable_hub', lambda repository: 'no answer in time')
    monkeypatch.setattr(open_clip, 'download_pretrained', lambda *args: pytest.fail('the hub was asked'))
    with pytest.raises(UserError) as caught:
        download.download(*pair)
    sentence = str(caught.value)
    assert '\n' not in sentence and 'no answer in time' in sentence
    assert all(address in sentence for address in addresses(*pair)) and str(place_of(*pair)) in sentence or pair == HUB
    assert f"clip=dict(model='{pair[0]}', weights='FILE')" in sentence
    assert str(pickle.loads(pickle.dumps(caught.value))) == sentence


def test_a_file_at_the_named_place_is_found(home, monkeypatch):
    file = home / '.cache' / 'clip' / 'ViT-B-16.pt'
    file.parent.mkdir(parents=True)
    assert file_at_hand(*OPENAI) is None
    file.touch()
    asked = []
    monkeypatch.setattr(open_clip, 'download_pretrained', lambda cfg, **kwargs: asked.append(kwargs) or str(file))
    assert download.download(*OPENAI) == file_at_hand(*OPENAI) == str(file)
    assert asked == [dict(prefer_hf_hub=False)]  # it compares the checksum


def test_a_file_in_the_cache_of_the_hub_is_found_without_a_request(home, monkeypatch):
    monkeypatch.setattr(download, 'try_to_load_from_cache',
                        lambda *key: '/b.bin' if key == (HUB_REPOSITORY, 'open_clip_pytorch_model.bin') else None)
    monkeypatch.setattr(download, 'unreachable_hub', lambda repository: pytest.fail('the hub was asked'))
    assert download.download(*HUB) == '/b.bin'


HUB_REPOSITORY = 'laion/CLIP-ViT-B-16-laion2B-s34B-b88K'


def test_each_tool_calls_the_file_by_its_own_argument(tmp_path):
    error = WeightsOutOfReach(*OPENAI, 'no network')
    (tmp_path / 'a.py').write_text("model = dict(type='A', backbone=dict(clip=dict(model='RN50', weights=None)))")
    app.load_config(SimpleNamespace(config=str(tmp_path / 'a.py'), cfg_options={}, launcher='none', work_dir=None,
                                    local_rank=0))
    assert 'name it by --cfg-options model.backbone.clip.weights=FILE;' in user_sentence(error)
    app.clip_of('ViT-B-16-quickgelu:openai')
    assert 'name it by --clip ViT-B-16-quickgelu:FILE;' in user_sentence(error)
    assert clip_setting('RN50') == '--clip RN50:FILE'


@pytest.mark.slow
def test_the_page_of_addresses_is_that_of_the_tables():
    spec = importlib.util.spec_from_file_location('weights_page', ROOT / 'docs' / 'weights.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / 'docs' / 'weights.md').read_text() == module.page(), 'run python docs/weights.py'

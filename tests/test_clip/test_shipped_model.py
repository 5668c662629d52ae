"""Shipped toy CLIP: strides that a config of open_clip cannot express, and the compact token table."""
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from mmseg_mvp.clip import TextTower, load_clip
from mmseg_mvp.clip.building import SHIPPED, build_from_config, read_config
from mmseg_mvp.clip.compact_table import expand_token_table
from mmseg_mvp.errors import UserError


@pytest.fixture(scope='module')
def config():
    return read_config(SHIPPED / 'toy-rn.json')


def open_clip_config(config):
    return {key: value for key, value in config.items() if key != 'mmseg_mvp'}


def test_without_our_key_it_is_open_clips_model(config):
    plain = open_clip_config(config)
    torch.manual_seed(0)
    ours = build_from_config(plain)
    torch.manual_seed(0)
    theirs = open_clip.CLIP(**plain)
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())
    assert ours.visual.attnpool.positional_embedding.shape[0] == (64 // 32)**2 + 1


@pytest.mark.parametrize('strides, side', [([1, 2, 1, 1], 8), ([1, 2, 2, 1], 4), ([1, 1, 1, 1], 16)])
def test_strides_set_the_grid_and_nothing_else(config, strides, side):
    model = build_from_config({**config, 'mmseg_mvp': {'vision_strides': strides}})
    assert 'mmseg_mvp' in config
    visual, images = model.visual, torch.rand(2, 3, 64, 64)
    cells = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
    assert cells.shape == (2, 512, side, side)
    assert visual.attnpool.positional_embedding.shape == (side**2 + 1, 512)
    assert model.encode_image(images).shape == (2, 96)
    expected = open_clip.CLIP(**open_clip_config(config)).state_dict()
    found = model.state_dict()
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name].shape != expected[name].shape] == (
        ['visual.attnpool.positional_embedding'])


def test_token_table_round_trip(config):
    model = build_from_config(config)
    state, ids = model.state_dict(), torch.tensor([3, 1000, 49407])
    compact = {name: value for name, value in state.items() if name != 'token_embedding.weight'}
    compact |= {'token_embedding.ids': ids, 'token_embedding.rows': state['token_embedding.weight'][ids]}
    expanded = expand_token_table(model, compact)
    assert expanded.keys() == state.keys()
    table = expanded['token_embedding.weight']
    assert torch.equal(table[ids], state['token_embedding.weight'][ids])
    assert table.abs().sum(1).nonzero().flatten().tolist() == ids.tolist()
    assert expand_token_table(model, state) is state


def test_shipped_weights_fit_their_config(config):
    weights = SHIPPED / 'toy-rn.safetensors'
    assert weights.stat().st_size < 8 * 2**20
    model = build_from_config(config)
    model.load_state_dict(expand_token_table(model, load_file(weights)), strict=True)
    assert torch.isfinite(model.encode_image(torch.rand(1, 3, 64, 64))).all()


def test_words_that_the_toy_never_read_are_refused():
    text = TextTower(load_clip('toy-rn', 'toy'))
    assert text.tokenize('a photo of a house.')
    with pytest.raises(UserError, match="'toy-rn' has no vector for 'dragon'"):
        text.tokenize('a big dragon.')

"""Shipped toy CLIPs: strides that a config of open_clip cannot express, the compact token table, and the ViT."""
import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from mmseg_mvp.clip import TextTower, load_clip
from mmseg_mvp.clip.building import SHIPPED, build_from_config, read_config
from mmseg_mvp.clip.compact_table import expand_token_table
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.errors import UserError

TOYS = 'toy-rn', 'toy-vit'


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


@pytest.mark.parametrize('toy', TOYS)
def test_shipped_weights_fit_their_config(toy):
    weights = SHIPPED / f'{toy}.safetensors'
    assert weights.stat().st_size < 4 * 10**6
    model = build_from_config(SHIPPED / f'{toy}.json')
    model.load_state_dict(expand_token_table(model, load_file(weights)), strict=True)
    assert torch.isfinite(model.encode_image(torch.rand(1, 3, 64, 64))).all()


@pytest.mark.parametrize('toy', TOYS)
def test_words_that_the_toy_never_read_are_refused(toy):
    text = TextTower(load_clip(toy, 'toy'))
    assert text.tokenize('a photo of a house.')
    with pytest.raises(UserError, match=f"'{toy}' has no vector for 'dragon'"):
        text.tokenize('a big dragon.')


def test_all_shipped_files_are_toys_with_a_name():
    assert {path.stem for path in SHIPPED.iterdir() if path.suffix != '.txt'} == set(TOYS)


def test_the_vit_is_open_clips_own_with_a_class_token():
    config = read_config(SHIPPED / 'toy-vit.json')
    visual = open_clip.CLIP(**config).visual
    assert visual.patch_size == (8, 8) and visual.pool_type == 'tok' and visual.proj.shape == (144, 96)
    assert visual.positional_embedding.shape == (1 + 8 * 8, 144)


def test_both_toys_embed_sentences_alike():
    rn, vit = (load_clip(toy, 'toy').model for toy in TOYS)
    tokens = open_clip.SimpleTokenizer(context_length=32)(['a photo of a house.', 'the red roof of a house.'])
    assert torch.equal(rn.encode_text(tokens), vit.encode_text(tokens))


def test_cells_of_the_vit_answer_to_names():
    """The name with the largest cosine in the middle of one of 40 objects: by chance, one in 20 is right."""
    clip, scenes = load_clip('toy-vit', 'toy'), [draw_scene(index, 'val') for index in range(40)]
    images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (clip.mean, clip.std))
    with torch.no_grad():
        cells = clip.dense_tower('maskclip')((images - mean) / std)[-1]
        names = clip.model.encode_text(clip.tokenizer([f'a photo of a {name}.' for name in CLASSES]))
    found = torch.einsum('bdhw,cd->bhwc', cells, F.normalize(names, dim=-1)).argmax(-1).numpy()
    truth = np.stack([scene.labels[4::8, 4::8] for scene in scenes])
    assert (found == truth)[truth < len(CLASSES)].mean() > .6

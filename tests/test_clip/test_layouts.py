"""Layouts of weights files: the features equal those of open_clip on the unwrapped weights."""
import json
import math

import open_clip
import pytest
import torch
from fixtures.clip_builders import open_clip_model
from fixtures.logs import record_logs
from safetensors.torch import save_file
from torch.nn import functional as F

from mmseg_mvp.clip import load_clip, loading
from mmseg_mvp.clip.identity import weights_hash
from mmseg_mvp.clip.layouts import as_plain
from mmseg_mvp.errors import UserError

OPENAI = dict(input_resolution=torch.tensor(64), context_length=torch.tensor(77), vocab_size=torch.tensor(49408))


def under(state, *prefixes):
    return {''.join(f'{prefix}.' for prefix in prefixes) + name: value for name, value in state.items()}


def hugging_face(state):
    """Rename a ViT's weights to those of transformers' CLIPModel, name by name."""
    renamed = {'logit_scale': state['logit_scale'], 'text_model.embeddings.position_ids': torch.arange(77)[None],
               'vision_model.embeddings.position_ids': torch.arange(17)[None]}
    names = {'visual.class_embedding': 'vision_model.embeddings.class_embedding',
             'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
             'visual.positional_embedding': 'vision_model.embeddings.position_embedding.weight',
             'positional_embedding': 'text_model.embeddings.position_embedding.weight',
             'token_embedding.weight': 'text_model.embeddings.token_embedding.weight'}
    renamed |= {theirs: state[ours] for ours, theirs in names.items()}
    renamed |= {'text_projection.weight': state['text_projection'].T.contiguous(),
                'visual_projection.weight': state['visual.proj'].T.contiguous()}
    for ours, theirs in (('ln_final', 'text_model.final_layer_norm'), ('visual.ln_pre', 'vision_model.pre_layrnorm'),
                         ('visual.ln_post', 'vision_model.post_layernorm')):
        renamed |= {f'{theirs}.{leaf}': state[f'{ours}.{leaf}'] for leaf in ('weight', 'bias')}
    for ours, theirs, layers in (('', 'text', 2), ('visual.', 'vision', 3)):
        for index in range(layers):
            own, other = f'{ours}transformer.resblocks.{index}', f'{theirs}_model.encoder.layers.{index}'
            for leaf in ('weight', 'bias'):
                parts = state[f'{own}.attn.in_proj_{leaf}'].chunk(3)
                renamed |= {f'{other}.self_attn.{part}_proj.{leaf}': value.contiguous()
                            for part, value in zip('qkv', parts)}
                for a, b in (('attn.out_proj', 'self_attn.out_proj'), ('ln_1', 'layer_norm1'), ('ln_2', 'layer_norm2'),
                             ('mlp.c_fc', 'mlp.fc1'), ('mlp.c_proj', 'mlp.fc2')):
                    renamed[f'{other}.{b}.{leaf}'] = state[f'{own}.{a}.{leaf}']
    return renamed


def custom_text(state):
    """Move the text tower under ``text.``, as in open_clip's CustomTextCLIP."""
    return {name if name.startswith(('visual.', 'logit_')) else f'text.{name}': value for name, value in state.items()}


LAYOUTS = {
    'open_clip': lambda state: state,
    'module': lambda state: under(state, 'module'),
    'model': lambda state: under(state, 'model'),
    'net': lambda state: under(state, 'net'),
    'clip_model': lambda state: under(state, 'clip_model'),
    'compiled': lambda state: under(state, '_orig_mod'),
    'stack of wrappers': lambda state: under(state, 'module', '_orig_mod', 'clip_model', 'module'),
    'compiled tower': lambda state: {name.replace('visual.', 'visual._orig_mod.'): value
                                     for name, value in state.items()},
    'state_dict': lambda state: dict(epoch=3, state_dict=under(state, 'module'), optimizer=dict(
        state={0: dict(step=torch.tensor(1.), exp_avg=torch.ones(3))}, param_groups=[dict(lr=.1)])),
    'model_state_dict': lambda state: dict(model_state_dict=state, step=7),
    'nested': lambda state: dict(model=dict(state_dict=under(state, 'net'))),
    'with an average': lambda state: dict(state_dict=state, ema_state_dict={
        name: value + 1 for name, value in state.items()}),
    'openai': lambda state: {**state, **OPENAI},
    'extra buffers': lambda state: dict(state, attn_mask=torch.zeros(77, 77), logit_bias=torch.tensor(0.)),
    'beside a decoder': lambda state: {**under(state, 'backbone', 'clip'), 'decode_head.conv.weight': torch.ones(2)},
    'scale of one element': lambda state: dict(state, logit_scale=state['logit_scale'].reshape(1)),
    'custom text': custom_text,
    'custom text, wrapped': lambda state: dict(state_dict=under(custom_text(state), 'module')),
    'arrays': lambda state: dict(state_dict={name: value.numpy() for name, value in state.items()}),
    'hugging face': hugging_face,
    'hugging face, wrapped': lambda state: dict(model=under(hugging_face(state), 'clip')),
}


@pytest.fixture
def towers(tiny_rn, tiny_vit):
    torch.manual_seed(7)
    return {'ResNet': (tiny_rn, open_clip_model(tiny_rn)), 'ViT': (tiny_vit, open_clip_model(tiny_vit))}


def write(content, path):
    return save_file(content, path) if str(path).lower().endswith('.safetensors') else torch.save(content, path)


def same_features(loaded, model):
    """Compare the embeddings of an image and a sentence with those of open_clip."""
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ids = open_clip.SimpleTokenizer()(['a photo of a cat.'])
    with torch.no_grad():
        return torch.equal(loaded.model.encode_image(image), model.encode_image(image)) and \
            torch.equal(loaded.model.encode_text(ids), model.encode_text(ids))


@pytest.mark.parametrize('dtype', [torch.float16, pytest.param(torch.float32, marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize('kind', ['ViT', pytest.param('ResNet', marks=pytest.mark.slow)])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_features_equal_those_of_open_clip(tmp_path, towers, layout, kind, dtype):
    if layout.startswith('hugging face') and kind == 'ResNet':
        kind = 'ViT'  # transformers has no ResNet CLIP
    clip, model = towers[kind]
    state = {name: value.to(dtype) if value.is_floating_point() else value
             for name, value in model.state_dict().items()}
    model.load_state_dict(state)  # rounds the weights of the reference as in the file
    torch.save(LAYOUTS[layout](state), tmp_path / 'weights.pt')
    loaded = load_clip(**clip, weights=str(tmp_path / 'weights.pt'))
    assert loaded.weights_hash == weights_hash(model)
    assert same_features(loaded, model)


@pytest.mark.parametrize('name', ['weights.safetensors', 'weights.SAFETENSORS', 'weights.bin'])
def test_safetensors_under_any_name(tmp_path, towers, name):
    clip, model = towers['ViT']
    save_file(hugging_face(model.state_dict()), tmp_path / name)
    assert same_features(load_clip(**clip, weights=str(tmp_path / name)), model)


@pytest.mark.parametrize('ending', ['safetensors', 'bin'])
def test_an_index_of_several_files(tmp_path, towers, ending):
    clip, model = towers['ViT']
    state, files = hugging_face(model.state_dict()), ['a', 'b']
    for offset, file in enumerate(files):
        write({name: value for index, (name, value) in enumerate(state.items()) if index % 2 == offset},
              tmp_path / f'{file}.{ending}')
    index = tmp_path / f'model.{ending}.index.json'
    index.write_text(json.dumps(dict(weight_map={
        name: f'{files[number % 2]}.{ending}' for number, name in enumerate(state)})))
    (tmp_path / 'preprocessor_config.json').write_text('{"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}')
    loaded = load_clip(**clip, weights=str(index))
    assert same_features(loaded, model) and loaded.mean == (0, 0, 0)
    loading._load.cache_clear()
    (tmp_path / f'b.{ending}').unlink()
    with pytest.raises(UserError, match=f"b.{ending}' of the index .* does not exist: put all 2 files"):
        load_clip(**clip, weights=str(index))
    index.write_text('[1]')
    with pytest.raises(UserError, match='expected JSON with a weight_map'):
        load_clip(**clip, weights=str(index))


def test_home_folder(tmp_path, towers, monkeypatch):
    clip, model = towers['ResNet']
    torch.save(model.state_dict(), tmp_path / 'weights.pt')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert same_features(load_clip(**clip, weights='~/weights.pt'), model)


@pytest.mark.parametrize('kind', ['ViT', pytest.param('ResNet', marks=pytest.mark.slow)])
@pytest.mark.parametrize('write', ['trace', 'script'])
def test_archives_of_open_clip(tmp_path, towers, kind, write):
    clip, model = towers[kind]
    inputs = dict(encode_image=torch.rand(1, 3, 64, 64), encode_text=open_clip.SimpleTokenizer()(['a cat.']))
    archive = torch.jit.script(model) if write == 'script' else torch.jit.trace_module(model, inputs, check_trace=False)
    torch.jit.save(archive, tmp_path / 'archive.pt')
    assert same_features(load_clip(**clip, weights=str(tmp_path / 'archive.pt')), model)


@pytest.mark.parametrize('kind', ['ResNet', 'ViT'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.float32], ids=str)
def test_tables_of_other_sizes_are_resized(tmp_path, towers, kind, dtype, monkeypatch):
    clip, model = towers[kind]
    name = 'visual.positional_embedding' if kind == 'ViT' else 'visual.attnpool.positional_embedding'
    state, side = model.state_dict(), {'ViT': 4, 'ResNet': 2}[kind]
    width = state[name].shape[1]
    table, context = torch.rand(37, width).to(dtype), torch.rand(32, 32).to(dtype)
    torch.save({**state, name: table, 'positional_embedding': context}, tmp_path / 'weights.pt')
    said = record_logs(monkeypatch, 'mmseg_mvp.clip.loading')
    loaded = load_clip(**clip, weights=str(tmp_path / 'weights.pt')).model.state_dict()
    maps = table[1:].float().T.reshape(1, width, 6, 6)
    expected = F.interpolate(maps, size=(side, side), mode='bicubic', antialias=True).flatten(2)[0].T
    assert torch.equal(loaded[name][0], table[0].float())
    assert torch.allclose(loaded[name][1:], expected, atol=1e-6)
    text = F.interpolate(context.float().T[None], size=77, mode='linear')[0].T
    assert torch.allclose(loaded['positional_embedding'], text, atol=1e-6)
    assert f'{name} resized from 37 to {side**2 + 1} positions' in said[-1]
    assert 'positional_embedding resized from 32 to 77 positions' in said[-1]


def test_the_resize_of_a_vit_is_open_clips(tmp_path, towers):
    clip, model = towers['ViT']
    state = dict(model.state_dict())
    state['visual.positional_embedding'] = torch.rand(37, 64)
    torch.save(state, tmp_path / 'weights.pt')
    open_clip.load_checkpoint(model, str(tmp_path / 'weights.pt'))
    assert same_features(load_clip(**clip, weights=str(tmp_path / 'weights.pt')), model)


def test_the_log_says_what_was_done(tmp_path, towers, monkeypatch):
    clip, model = towers['ViT']
    torch.save(dict(model=under(hugging_face(model.state_dict()), 'module', 'clip'), head=dict(w=torch.ones(1))),
               tmp_path / 'weights.pt')
    said = record_logs(monkeypatch, 'mmseg_mvp.clip.loading')
    load_clip(**clip, weights=str(tmp_path / 'weights.pt'))
    assert len(said) == 1
    count = len(model.state_dict())
    assert said[0].startswith(f"CLIP '{clip['model']}' with QuickGELU, images of mean (0.48145466, ")
    assert f"): {count} tensors loaded from {tmp_path / 'weights.pt'}; " in said[0]
    assert "module removed from names; prefix 'model.clip.' removed; names of Hugging Face converted" in said[0]
    assert 'left over: text_model.embeddings.position_ids, vision_model.embeddings.position_ids, head' in said[0]


def test_nothing_false_is_logged(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr('mmseg_mvp.clip.loading.check_fit', lambda *args: None)
    torch.save({'visual.conv1.bias': torch.ones(1)}, tmp_path / 'weights.pt')
    with caplog.at_level('INFO'):
        load_clip('RN50', str(tmp_path / 'weights.pt'))
    assert 'andomly' not in caplog.text and 'No pretrained' not in caplog.text


class TestSeveralSets:

    @pytest.mark.parametrize('names', [('model', 'ema'), ('student', 'teacher')])
    def test_different_sets_are_refused(self, tmp_path, towers, names):
        clip, model = towers['ResNet']
        state = model.state_dict()
        torch.save({names[0]: state, names[1]: {name: value + 1 for name, value in state.items()}},
                   tmp_path / 'weights.pt')
        with pytest.raises(UserError, match=f"several different sets.*'{names[0]}.', '{names[1]}.'.*alone"):
            load_clip(**clip, weights=str(tmp_path / 'weights.pt'))

    def test_two_sets_in_a_state_dict(self, tmp_path, towers):
        clip, model = towers['ResNet']
        state = model.state_dict()
        both = under(state, 'student') | under({name: value + 1 for name, value in state.items()}, 'teacher')
        torch.save(dict(state_dict=both), tmp_path / 'weights.pt')
        with pytest.raises(UserError, match=r"'state_dict.student.', 'state_dict.teacher.'"):
            load_clip(**clip, weights=str(tmp_path / 'weights.pt'))

    def test_equal_sets_are_one(self, tmp_path, towers):
        clip, model = towers['ResNet']
        torch.save(dict(model=model.state_dict(), ema=model.state_dict()), tmp_path / 'weights.pt')
        assert same_features(load_clip(**clip, weights=str(tmp_path / 'weights.pt')), model)

    def test_wrapped_and_bare_names(self, tmp_path, towers):
        clip, model = towers['ResNet']
        state = model.state_dict()
        torch.save(state | under({name: value + 1 for name, value in state.items()}, 'module'), tmp_path / 'weights.pt')
        with pytest.raises(UserError, match='several different sets'):
            load_clip(**clip, weights=str(tmp_path / 'weights.pt'))


def test_names_of_hugging_face(towers):
    state = towers['ViT'][1].state_dict()
    plain = as_plain(hugging_face(state))
    assert all(torch.equal(plain[name], value) for name, value in state.items())
    assert len(plain) == len(state) + 2  # position_ids
    assert math.prod(plain['text_projection'].shape) == 32 * 32

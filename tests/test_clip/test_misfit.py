"""Weights that do not fit a model: the first differences and the models that fit."""
import open_clip
import pytest
import torch
from fixtures.clip_builders import open_clip_model

from mmseg_mvp.clip import load_clip
from mmseg_mvp.clip.layouts import Arranged, as_plain
from mmseg_mvp.clip.misfit import check_fit, fitting_models
from mmseg_mvp.errors import UserError


@pytest.fixture
def state(tiny_vit):
    return dict(open_clip_model(tiny_vit).state_dict())


def refusal(clip, state, path):
    torch.save(state, path)
    with pytest.raises(UserError) as error:
        load_clip(**clip, weights=str(path))
    return str(error.value)


def test_first_missing_extra_and_misshapen_tensor(tmp_path, tiny_vit, state):
    del state['visual.ln_post.bias']
    del state['visual.proj']
    state['visual.transformer.resblocks.3.ln_1.bias'] = torch.ones(64)
    state['ln_final.bias'] = torch.ones(31)
    said = refusal(tiny_vit, state, tmp_path / 'weights.pt')
    assert f"weights.pt' does not fit CLIP '{tiny_vit['model']}': " in said
    assert '2 missing (visual.proj, ...)' in said or '2 missing (visual.ln_post.bias, ...)' in said
    assert '1 extra (visual.transformer.resblocks.3.ln_1.bias)' in said
    assert '1 misshapen (ln_final.bias with shape (31,) instead of (32,))' in said
    assert 'no model of open_clip fits' in said


@pytest.mark.parametrize('values, words', [
    (torch.full((32, ), float('nan')), 'holds NaN or infinite numbers in ln_final.weight'),
    (torch.full((32, ), float('inf')).half(), 'holds NaN or infinite numbers in ln_final.weight'),
    (torch.ones(32, dtype=torch.int8), 'holds torch.int8 in ln_final.weight: expected floating-point numbers')])
def test_values_that_are_no_weights(tmp_path, tiny_vit, state, values, words):
    assert words in refusal(tiny_vit, {**state, 'ln_final.weight': values}, tmp_path / 'weights.pt')


def test_a_file_of_the_model_that_lost_a_tensor(tiny_vit, state, monkeypatch):
    monkeypatch.setattr('mmseg_mvp.clip.misfit.fitting_models', lambda plain: ['tiny'])
    clip = open_clip_model(tiny_vit)
    del state['ln_final.weight']
    with pytest.raises(UserError, match='1 missing .ln_final.weight.; its sizes are those of this model, so save the'):
        check_fit(clip, 'tiny', 'a.pt', Arranged(state, state, [], []))


def test_a_deeper_model_is_refused(tmp_path, tiny_vit, state):
    more = {name.replace('resblocks.2', 'resblocks.3'): value for name, value in state.items()}
    assert '12 extra (visual.transformer.resblocks.3.' in refusal(tiny_vit, {**state, **more}, tmp_path / 'weights.pt')


def test_a_table_that_is_no_grid(tmp_path, tiny_vit, state):
    state['visual.positional_embedding'] = torch.ones(36, 64)
    assert 'visual.positional_embedding with shape (36, 64)' in refusal(tiny_vit, state, tmp_path / 'weights.pt')


def test_a_file_without_any_weights_of_clip(tmp_path, tiny_vit, state):
    said = refusal(tiny_vit, {'fc.weight': torch.ones(2)}, tmp_path / 'weights.pt')
    assert f'{len(state) - 1} missing' in said  # the logit scale has no effect here


def test_one_of_three_parts_of_an_attention(tmp_path, tiny_vit, state):
    del state['visual.transformer.resblocks.0.attn.in_proj_bias']
    state['vision_model.encoder.layers.0.self_attn.q_proj.bias'] = torch.ones(64)
    said = refusal(tiny_vit, state, tmp_path / 'weights.pt')
    assert 'visual.transformer.resblocks.0.attn.in_proj_bias with shape (64,) instead of (192,)' in said


@pytest.mark.parametrize('model, expected', [
    ('RN50', {'RN50', 'RN50-quickgelu'}), ('RN101-quickgelu', {'RN101', 'RN101-quickgelu'}),
    ('ViT-B-32', {'ViT-B-32', 'ViT-B-32-quickgelu'}), ('ViT-B-16', {'ViT-B-16', 'ViT-B-16-quickgelu'}),
    ('ViT-B-32-256', {'ViT-B-32-256'})])
def test_models_that_fit(model, expected):
    config = open_clip.get_model_config(model)
    with torch.device('meta'):
        plain = as_plain(open_clip.CLIP(**config).state_dict())
    assert set(fitting_models(plain)) == expected


def test_the_message_names_a_model_that_fits(tmp_path, tiny_vit):
    state = open_clip.CLIP(**open_clip.get_model_config('RN50')).half().state_dict()
    assert 'set clip.model to one that it fits (RN50, RN50-quickgelu' in refusal(tiny_vit, state, tmp_path / 'rn.pt')

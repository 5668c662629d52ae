"""Identity of a CLIP: everything that changes its outputs changes the fingerprint."""
import json

import pytest
import torch

from mmseg_mvp.clip import load_clip


@pytest.fixture
def variant(tmp_path, tiny_vit):
    """Load one weights file under a changed model config."""
    weights = tmp_path / 'weights.pt'
    with open(tiny_vit['model']) as file:
        base = json.load(file)
    torch.save(load_clip(**tiny_vit).model.state_dict(), weights)

    def load(vision=None, text=None, normalisation=None, **config):
        changed = dict(base, vision_cfg=dict(base['vision_cfg'], **vision or {}),
                       text_cfg=dict(base['text_cfg'], **text or {}), **config)
        (tmp_path / 'model.json').write_text(json.dumps(changed))
        return load_clip(str(tmp_path / 'model.json'), str(weights), **normalisation or {})

    return load


@pytest.mark.parametrize('change', [
    dict(quick_gelu=False), dict(vision=dict(head_width=16)), dict(text=dict(heads=4)),
    dict(text=dict(no_causal_mask=True)), dict(text=dict(pool_type='last')), dict(vision=dict(pool_type='avg')),
    dict(vision=dict(norm_kwargs=dict(eps=1e-3))),
    dict(text=dict(act_kwargs=dict(approximate='tanh')), quick_gelu=False),
    dict(normalisation=dict(mean=(.5, .5, .5))), dict(normalisation=dict(std=(.5, .5, .5)))], ids=str)
def test_a_change_of_the_output_changes_the_fingerprint(variant, change):
    before, after = variant(), variant(**change)
    assert before.weights_hash == after.weights_hash
    assert before.fingerprint != after.fingerprint


def test_the_same_model_has_the_same_fingerprint(variant):
    assert variant().fingerprint == variant().fingerprint


def test_the_name_of_a_model_does_not_matter(variant, tmp_path, tiny_vit):
    assert variant().fingerprint == load_clip(**tiny_vit).fingerprint


def test_the_fingerprint_is_equal_in_all_versions():
    loaded = load_clip('toy-rn', 'toy')  # recorded with torch 2.15 and open_clip 3.3
    assert (loaded.weights_hash, loaded.fingerprint) == ('6d9ca5ac47383472', 'fc04a6ca263cfd55')

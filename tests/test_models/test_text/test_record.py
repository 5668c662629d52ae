"""Record of the CLIP in a checkpoint."""
import dataclasses
import json

import pytest
import torch
from fixtures.logs import record_logs

from mmseg_mvp.clip import load_clip
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.text.record import check_same_clip, read_record, write_record


@pytest.fixture
def clip(tiny_vit):
    return load_clip(**tiny_vit)


@pytest.fixture
def said(monkeypatch):
    return record_logs(monkeypatch, 'mmseg_mvp.models.text.record')


def test_what_is_written_is_read(clip, said):
    saved = read_record(write_record(clip, ['cat', 'dog'], dict(num_prompts=3)))
    assert saved == dict(clip=clip.name, weights='random', fingerprint=clip.fingerprint,
                         weights_hash=clip.weights_hash, train_classes=['cat', 'dog'], num_prompts=3)
    check_same_clip(saved, clip)
    assert not said


def test_other_weights_and_other_settings_are_told_apart(clip):
    saved = read_record(write_record(clip, [], {}))
    with pytest.raises(UserError, match='was learned on CLIP .* weights differ; set clip'):
        check_same_clip(dict(saved, weights_hash='other'), clip)
    with pytest.raises(UserError, match='weights are equal, but the activation, the attention heads, .*normalisation'):
        check_same_clip(saved, dataclasses.replace(clip, fingerprint='other'))


def test_an_early_record_is_checked_as_far_as_it_goes(clip, said):
    early = dict(clip='RN50', weights='openai', fingerprint=clip.weights_hash, train_classes=[])
    check_same_clip(early, clip)
    assert len(said) == 1 and 'activation, attention heads and normalisation of images can\'t be checked' in said[0]
    with pytest.raises(UserError, match="learned on CLIP 'RN50' with weights 'openai'"):
        check_same_clip(dict(early, fingerprint='other'), clip)


def test_prompts_of_one_activation_are_refused_by_another(tmp_path, tiny_vit):
    from mmseg_mvp.models.text import TextClassifier
    with open(tiny_vit['model']) as file:
        config = json.load(file)
    (tmp_path / 'gelu.json').write_text(json.dumps(dict(config, quick_gelu=False)))
    torch.save(load_clip(**tiny_vit).model.state_dict(), tmp_path / 'weights.pt')
    prompts = dict(type='LearnedPrompts', num_prompts=1, context_length=2)
    quick, plain = (TextClassifier(dict(model=model, weights=str(tmp_path / 'weights.pt')), prompts, 'cat, dog')
                    for model in (tiny_vit['model'], str(tmp_path / 'gelu.json')))
    with pytest.raises(UserError, match='weights are equal, but the activation'):
        plain.load_state_dict(quick.state_dict())
    quick.load_state_dict(quick.state_dict())

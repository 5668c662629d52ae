"""Text embeddings of prompts, compared with open_clip's ``encode_text``."""
import copy
import dataclasses
import re

import open_clip
import pytest
import torch
from fixtures.clip_builders import open_clip_model, with_model, word_contexts
from fixtures.logs import record_logs

from mmseg_mvp.clip import Frozen, TextTower, encode_prompts, encode_sentences, load_clip
from mmseg_mvp.errors import UserError

NAMES = ['cat', 'traffic light', 'television receiver']


@pytest.fixture
def clip(tiny_clip):
    return load_clip(**tiny_clip)


def test_contexts_made_of_words_give_open_clips_own_embeddings(clip):
    tower = TextTower(clip)
    phrases = ['a photo of a', 'there is a big']
    contexts = word_contexts(tower, phrases)
    ours = encode_prompts(tower, contexts, [tower.tokenize(f'{name}.') for name in NAMES])
    for prompt, phrase in enumerate(phrases):
        tokens = clip.tokenizer([f'{phrase} {name}.' for name in NAMES])
        assert torch.allclose(ours[prompt], clip.model.encode_text(tokens), atol=1e-5)


def test_sentences_share_what_they_begin_with(clip):
    tower = TextTower(clip)
    sentences = ['a photo of a cat', 'a photo of a very small cat on a very large mat', 'a photo', 'a photo of a cat']
    ours = encode_sentences(tower, [tower.tokenize(one) for one in sentences])
    assert torch.allclose(ours, clip.model.encode_text(clip.tokenizer(sentences)), atol=1e-5)


def test_gradients_reach_the_contexts_and_agree_with_a_finite_difference(clip):
    tower = Frozen(TextTower(clip)).double()
    text = tower.module
    contexts = torch.randn(2, 3, text.width, dtype=torch.float64, requires_grad=True)
    tokens = [text.tokenize('cat.'), text.tokenize('traffic light.')]
    direction = torch.randn(2, 2, text.embed_dim, dtype=torch.float64)

    def value(x):
        return (encode_prompts(tower, x, tokens) * direction).sum()

    gradient, = torch.autograd.grad(value(contexts), contexts)
    step = torch.randn_like(contexts)
    with torch.no_grad():
        numeric = (value(contexts + 1e-6 * step) - value(contexts - 1e-6 * step)) / 2e-6
    assert torch.allclose((gradient * step).sum(), numeric, rtol=1e-6)


def test_a_name_that_does_not_fit_is_told_with_its_length(clip):
    tower = TextTower(clip)
    with pytest.raises(UserError, match=r"'cat cat .*\.\.\.' has 70 tokens.*room for 59 .77 minus start, end and 16"):
        tower.tokenize('cat' + ' cat' * 69, taken=16)
    with pytest.raises(UserError, match='empty'):
        tower.tokenize('  ')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_weights_that_are_not_finite_are_told(clip, value):
    damaged = dataclasses.replace(clip, model=copy.deepcopy(clip.model))
    damaged.model.ln_final.weight.data[0] = value
    with pytest.raises(UserError, match=f"CLIP '{re.escape(clip.name)}' gives values that are not finite, so its"):
        TextTower(damaged)


@pytest.mark.parametrize('text, reason', [
    (dict(no_causal_mask=True, pool_type='last'), 'is not causal'),
    (dict(embed_cls=True), 'is not causal'),
    (dict(pool_type='last'), 'does not pool at the end token'),
    (dict(scale_attn=True), 'has blocks of type CustomResidualAttentionBlock'),
], ids=['non-causal', 'coca', 'pooling', 'blocks'])
def test_unusual_towers_use_the_forward_pass_of_open_clip_and_log_it(tiny_rn, text, reason, monkeypatch):
    model = open_clip_model(tiny_rn, open_clip.CustomTextCLIP, **text).requires_grad_(False)
    said = record_logs(monkeypatch, 'mmseg_mvp.clip.text_tower')
    tower = TextTower(with_model(tiny_rn, model))
    assert not tower.shared and len(said) == 1 and reason in said[0]
    phrases = ['a photo of a', 'there is a big']
    contexts = word_contexts(tower, phrases).requires_grad_()
    ours = encode_prompts(tower, contexts, [tower.tokenize(f'{name}.') for name in NAMES])
    for prompt, phrase in enumerate(phrases):
        tokens = tower.tokenizer([f'{phrase} {name}.' for name in NAMES])
        assert torch.allclose(ours[prompt], model.encode_text(tokens), atol=1e-5)
    assert torch.autograd.grad(ours.square().sum(), contexts)[0].abs().amin(dim=2).gt(0).all()
    assert not tower.token_embedding._forward_hooks


def test_a_custom_text_clip_is_understood_as_well(tiny_rn):
    model = open_clip_model(tiny_rn, open_clip.CustomTextCLIP)
    clip = with_model(tiny_rn, model)
    tower = TextTower(clip)
    ours = encode_prompts(tower, torch.zeros(1, 0, tower.width), [tower.tokenize('a cat')])
    assert torch.allclose(ours[0], model.encode_text(clip.tokenizer(['a cat'])), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('name, shared, image', [
    ('ViT-S-16-alt', True, True), ('MobileCLIP2-S0', False, True), ('coca_ViT-B-32', False, False),
    ('MobileCLIP-B', True, True), ('EVA02-B-16', True, True)])
def test_open_clips_own_architectures_are_told_apart(name, shared, image):
    clip = load_clip(name)
    tower = TextTower(clip)
    assert tower.shared is shared
    ours = encode_prompts(tower, torch.zeros(1, 0, tower.width), [tower.tokenize('a cat'), tower.tokenize('dog')])[0]
    theirs = clip.model.encode_text(clip.tokenizer(['a cat', 'dog'], context_length=tower.context_length))
    assert torch.allclose(ours, theirs, atol=1e-5 * float(theirs.abs().max()))
    if image:
        assert clip.dense_tower().embed_dim == theirs.shape[1]
    else:
        with pytest.raises(UserError, match=f"tower of CLIP '{name}'"):
            clip.dense_tower()


@pytest.mark.parametrize('text', [dict(vocab_size=1000), dict(context_length=2), dict(embed_cls=True)])
def test_a_tower_that_cannot_encode(tiny_rn, text):
    clip = with_model(tiny_rn, open_clip_model(tiny_rn, **text))
    with pytest.raises(UserError, match="can't encode a sentence .*: expected embeddings of 49408 tokens"):
        TextTower(clip)

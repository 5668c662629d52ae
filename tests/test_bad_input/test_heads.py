"""Heads and their prompts: wrong settings, wrong features, and logits that are not finite."""
import math

import pytest
import torch
from fixtures.refusals import refused
from fixtures.text_models import batch, build_segmentor, head_config
from mmseg.registry import MODELS

from mmseg_mvp.models.text import nearest_words

NAN, INF = math.nan, math.inf
LEARNED, FIXED = dict(type='LearnedPrompts'), dict(type='TemplatePrompts')
PYRAMID = dict(type='LSegHead', train_classes='toy:seen', in_channels=[8, 16, 32, 64], readout_type=None, channels=8)
SETTINGS = [
    ('scale', [0, -1, NAN, INF, 'a', None]), ('in_channels', [0, -1, 1.5, 'a', [3, 4]]), ('num_classes', [3]),
    ('ignore_index', ['a', None, 1.5]), ('train_classes', [None, 3, ['cat'], [], b'cat, dog']),
    ('test_classes', [3, [], ['cat']]), ('synonyms', ['x', None, []]), ('prompts', [None, {}, 'LearnedPrompts']),
    ('clip', [None, {}, 'RN50', dict(model=3), dict(model=['RN50']), dict(model=None), dict(model='RN50', foo=1),
              dict(weights='openai'), dict(model='RN50', weights=3)]),
]
PROMPTS = [dict(LEARNED, **{key: value}) for key, values in [
    ('num_prompts', [0, -1, 1.5, '3', None, True]), ('context_length', [0, 1.5, '3', None]),
    ('std', ['a', None, NAN, INF, -1]), ('global_prompt', ['x', 3, None]), ('init', [3, [3, 4, 5, 6], ['a'], b'a'])]
    for value in values]


@pytest.fixture(scope='module')
def head(tiny_rn):
    return MODELS.build(dict(type='MultiPromptTextHead', clip=tiny_rn, train_classes='toy:seen', in_index=0)).eval()


@pytest.mark.parametrize('key, value', [(key, value) for key, values in SETTINGS for value in values])
def test_head_built_with(tiny_rn, key, value):
    config = {'clip': tiny_rn, 'train_classes': 'toy:seen', key: value}
    refused(lambda: MODELS.build(dict(type='MultiPromptTextHead', **config)))


@pytest.mark.parametrize('prompts', PROMPTS)
def test_prompts_built_with(head, prompts):
    refused(lambda: MODELS.build(dict(prompts, tower=head.classifier.tower)), 'LearnedPrompts.')


@pytest.mark.parametrize('features', [
    torch.ones(2, 33, 4, 4), torch.ones(2, 32, 0, 4), torch.ones(32, 4, 4), torch.ones(2, 32, 4, 4).long(),
    torch.ones(2, 32, 4, 4, device='meta'), None])
def test_head_called_with(head, features):
    refused(lambda: head([features]), 'MultiPromptTextHead')


def test_no_image_has_no_logits(head):
    assert head([torch.ones(0, 32, 4, 4)]).shape == (0, len(head.classifier.vocabulary), 4, 4)


@pytest.mark.parametrize('temperature', [0, -1, NAN, INF, 'a', True])
def test_temperatures(tiny_rn, temperature):
    refused(lambda: MODELS.build(head_config(tiny_rn, temperature=temperature)), 'temperature')


@pytest.mark.parametrize('key, value', [
    ('in_channels', 'a'), ('in_channels', None), ('in_channels', 0), ('in_channels', [8, 16, 'a', 64]),
    ('in_channels', [8, 16, -1, 64]), ('in_channels', [1, 2]), ('strides', 3), ('strides', None), ('strides', [4, 8]),
    ('strides', [4, 8, 16, 'a']), ('readout_type', []), ('readout_type', 3)])
def test_lseg_built_with(tiny_rn, key, value):
    refused(lambda: MODELS.build({**PYRAMID, 'clip': tiny_rn, key: value}), 'LSegHead')


@pytest.mark.parametrize('value', [NAN, INF, -INF])
def test_logits_that_are_not_finite_are_no_prediction(tiny_rn, value):
    """Their argmax would be the first class, everywhere."""
    model = build_segmentor(head_config(tiny_rn)).eval()
    inputs = batch()
    with torch.no_grad():
        model.predict(torch.stack(inputs['inputs']), inputs['data_samples'])
        next(model.backbone.parameters()).fill_(value)
        refused(lambda: model.predict(torch.stack(inputs['inputs']), inputs['data_samples']), 'not finite')


@pytest.mark.parametrize('options', [dict(top=0), dict(top='a'), dict(top=1.5), dict(top=None), dict(words=[]),
                                     dict(words=3), dict(words='cat'), dict(words=[3]), dict(words=[''])])
def test_nearest_words(head, options):
    refused(lambda: nearest_words(head.classifier, **options))

"""Refused settings of prompts."""
import math

import pytest
from fixtures.refusals import refused
from mmseg.registry import MODELS

NAN, INF = math.nan, math.inf


LEARNED, FIXED = dict(type='LearnedPrompts'), dict(type='TemplatePrompts')


PROMPTS = [dict(LEARNED, **{key: value}) for key, values in [
    ('num_prompts', [0, -1, 1.5, '3', None, True]), ('context_length', [0, 1.5, '3', None]),
    ('std', ['a', None, NAN, INF, -1]), ('global_prompt', ['x', 3, None]), ('init', [3, [3, 4, 5, 6], ['a'], b'a'])]
    for value in values]


@pytest.fixture(scope='module')
def head(tiny_rn):
    return MODELS.build(dict(type='MultiPromptTextHead', clip=tiny_rn, train_classes='toy:seen', in_index=0)).eval()


@pytest.mark.parametrize('prompts', PROMPTS)
def test_prompts_built_with(head, prompts):
    refused(lambda: MODELS.build(dict(prompts, tower=head.classifier.tower)), 'LearnedPrompts.')

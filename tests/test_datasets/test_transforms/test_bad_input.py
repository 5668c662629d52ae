"""Refused settings of all transforms."""
import math

import pytest
from fixtures.refusals import refused
from mmseg.registry import TRANSFORMS

NAN, INF = math.nan, math.inf


TRANSFORM_SETTINGS = [
    *[dict(type='LoadCheckedAnnotations', num_classes=value) for value in ('a', None, 0, -1, 1.5, 257)],
    *[dict(type='CountingRandomCrop', crop_size=value) for value in (0, -1, (0, 4), 'a', None, (3, 4, 5), (1.5, 2))],
    *[dict(type='CountingRandomCrop', crop_size=4, cat_max_ratio=value) for value in ('a', None, NAN, -1, 0, 2)],
    *[dict(type='CountingRandomCrop', crop_size=4, ignore_index=value) for value in ('x', None, -1, 256)],
    *[dict(type='PackVocabulary', classes=value) for value in (3, [], '', [None])],
    dict(type='HideClasses', classes=None, unseen='voc20:unseen'), dict(type='HideClasses', classes='voc20', unseen=3),
    dict(type='HideClasses', classes='voc20', unseen=['dragon'])]


@pytest.mark.parametrize('settings', TRANSFORM_SETTINGS)
def test_transforms_built_with(settings):
    refused(lambda: TRANSFORMS.build(settings))

"""The entry ``clip`` of a config."""
import re

import pytest

from mmseg_mvp.clip import check_clip
from mmseg_mvp.errors import UserError


@pytest.mark.parametrize('clip', [None, {}, 'RN50', dict(weights='openai'), dict(model='RN50', size=1)])
def test_an_entry_with_missing_or_unknown_keys(clip):
    with pytest.raises(UserError, match=f'entry clip of the config is {re.escape(repr(clip))}: expected dict.model='):
        check_clip(clip)


@pytest.mark.parametrize('key, clip', [('model', dict(model=3)), ('model', dict(model=None)), ('model', dict(model=[])),
                                       ('weights', dict(model='RN50', weights=3))])
def test_values_that_are_not_text(key, clip):
    with pytest.raises(UserError, match=rf'clip\.{key} is .*: expected text'):
        check_clip(clip)


@pytest.mark.parametrize('key', ['mean', 'std'])
@pytest.mark.parametrize('value', [.5, [.5], [.5] * 4, 'abc', [.5, .5, None], [122.77, 116.75, 104.09], [-.1, .5, .5],
                                   [float('nan'), .5, .5]])
def test_values_that_are_no_normalisation(key, value):
    with pytest.raises(UserError, match=rf'clip\.{key} is .*: expected three numbers of 0 to 1'):
        check_clip({'model': 'RN50', key: value})


def test_a_standard_deviation_of_zero():
    with pytest.raises(UserError, match='clip.std is .*above 0'):
        check_clip(dict(model='RN50', std=[0., 1., 1.]))
    assert check_clip(dict(model='RN50', mean=[0, 0, 0], std=None)) == dict(model='RN50', mean=(0., 0., 0.), std=None)


def test_paths_become_text(tmp_path):
    assert check_clip(dict(model=tmp_path, weights=None)) == dict(model=str(tmp_path), weights=None)

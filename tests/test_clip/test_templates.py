"""Template sets for class names, and templates that can't be used."""
import pytest
from fixtures.refusals import refused
from open_clip import OPENAI_IMAGENET_TEMPLATES

from mmseg_mvp.clip import resolve_templates
from mmseg_mvp.errors import UserError

TEMPLATES = [3, None, [], [3], [None], ['no place'], ['{} {}'], ['{} {x}'], ['{}{'], ['{} {0}'], 'unknown']


def test_templates():
    maskclip = resolve_templates('maskclip')
    assert len(maskclip) == len(set(maskclip)) == 85
    assert sum(template.endswith('in the scene.') for template in maskclip) == 5
    assert 'a bad photo of a {}.' in maskclip
    assert resolve_templates('imagenet') == maskclip[:80] == tuple(one('{}') for one in OPENAI_IMAGENET_TEMPLATES)
    assert resolve_templates(['my {}']) == ('my {}', )
    for wrong in ('best', [], ['no place for the name']):
        with pytest.raises(UserError):
            resolve_templates(wrong)


@pytest.mark.parametrize('templates', TEMPLATES)
def test_wrong_templates(templates):
    refused(lambda: resolve_templates(templates), 'template')

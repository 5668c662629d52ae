"""What the classifier keeps: embeddings that serve whoever comes next, and where its prompts come from."""
import json

import pytest
import torch
from fixtures.refusals import refused

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextClassifier

TEMPLATES = dict(type='TemplatePrompts', templates=['a photo of a {}.'])
LEARNED = dict(type='LearnedPrompts', num_prompts=2, context_length=4)


def saved_names(classifier):
    return json.loads(bytes(classifier.get_extra_state().tolist()))['train_classes']


def test_names_encoded_in_inference_mode_serve_in_training(tiny_rn):
    classifier = TextClassifier(tiny_rn, TEMPLATES, ['cat', 'dog'])
    with torch.inference_mode():
        first = classifier.embeddings()
    features = torch.randn(1, 32, 2, 2, requires_grad=True)
    classifier(features, classifier.embeddings()).sum().backward()
    assert classifier.embeddings() is first and torch.allclose(features.grad[0, :, 0, 0], first[0].sum(dim=0))


@pytest.mark.parametrize('prompts', [TEMPLATES, dict(LEARNED, frozen=True)])
def test_fixed_names_are_as_exact_under_autocast(tiny_rn, prompts):
    torch.manual_seed(0)
    classifier = TextClassifier(tiny_rn, prompts, ['cat', 'dog'])
    classifier._cache.clear()
    with torch.autocast('cpu', torch.bfloat16):
        under = classifier.embeddings()
    classifier._cache.clear()
    assert torch.equal(classifier.embeddings(), under)


@pytest.mark.parametrize('synonyms, names', [
    ('max', ['cat', 'cat', 'dog', 'sky', 'sky']), ('mean', ['cat', 'dog', 'sky'])])
def test_rows_are_called_by_their_class(tiny_rn, synonyms, names):
    classifier = TextClassifier(tiny_rn, TEMPLATES, ['cat, kitten', 'dog', 'sky, blue sky'], synonyms=synonyms)
    assert classifier.row_names == names and classifier.score_weights().shape[1] == len(names)


def test_frozen_prompts_are_constants_that_load(tiny_rn):
    learned, frozen = (TextClassifier(tiny_rn, dict(LEARNED, frozen=fixed), ['cat', 'dog']) for fixed in (False, True))
    assert learned.embeddings().requires_grad and not frozen.embeddings().requires_grad
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not torch.allclose(learned.embeddings(), frozen.embeddings())
    frozen.load_state_dict(learned.state_dict())
    assert torch.allclose(learned.embeddings(), frozen.embeddings(), atol=1e-6)


def test_a_checkpoint_names_all_classes_that_prompts_have_learned_from(tiny_rn):
    first, second, user = (TextClassifier(tiny_rn, LEARNED, names)
                           for names in (['cat', 'dog'], ['dog', 'sky'], ['boat', 'river']))
    assert saved_names(first) == ['cat', 'dog']
    second.load_state_dict(first.state_dict())
    assert second.learned_on == ['cat', 'dog'] and saved_names(second) == ['cat', 'dog', 'sky']
    user.load_state_dict(second.state_dict())
    assert user.learned_on == ['cat', 'dog', 'sky']
    fixed = TextClassifier(tiny_rn, dict(LEARNED, frozen=True), ['boat', 'river'])
    fixed.load_state_dict(first.state_dict())
    assert saved_names(fixed) == ['cat', 'dog']  # its own names taught them nothing


@pytest.mark.parametrize('state', [
    b'', b'{', b'3', b'[]', b'{}', b'[' * 100000, b'{"a":' * 100000, b'\xff\xfe', b'1' * 10000, b'null',
    b'{"clip": 1, "weights": "a", "fingerprint": "b", "train_classes": []}',
    b'{"clip": "a", "weights": "a", "fingerprint": "b", "train_classes": "cat"}'])
def test_a_state_that_is_damaged_is_told(tiny_rn, state):
    classifier = TextClassifier(tiny_rn, LEARNED, ['cat', 'dog'])
    before = classifier.learned_on
    refused(lambda: classifier.set_extra_state(torch.tensor(list(state), dtype=torch.uint8)), '_extra_state')
    assert classifier.learned_on == before


@pytest.mark.parametrize('state', [None, 'text', {}, torch.ones(2, 2), torch.tensor([300.5])])
def test_a_state_of_another_type_is_told(tiny_rn, state):
    refused(lambda: TextClassifier(tiny_rn, LEARNED, ['cat', 'dog']).set_extra_state(state), '_extra_state')


@pytest.mark.parametrize('key', ['clip', 'weights', 'fingerprint'])
def test_long_names_of_a_state_make_one_short_sentence(tiny_rn, key):
    classifier = TextClassifier(tiny_rn, LEARNED, ['cat', 'dog'])
    state = dict(json.loads(bytes(classifier.get_extra_state().tolist())), fingerprint='other')
    state[key] = 'long\n' * 100000
    state = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    with pytest.raises(UserError, match='was learned on CLIP') as error:
        classifier.set_extra_state(state)
    assert len(str(error.value)) < 1000 and '\n' not in str(error.value)

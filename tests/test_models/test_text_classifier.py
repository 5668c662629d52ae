"""What the classifier keeps: embeddings that serve whoever comes next, and where its prompts come from."""
import json

import pytest
import torch

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
    assert classifier.row_names == names and classifier.fused_weights().shape[1] == len(names)


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

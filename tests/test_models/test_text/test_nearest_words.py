"""CoOp's probe against a search by hand through open_clip's own tokens."""

import open_clip
import pytest
import torch
from fixtures.refusals import refused
from mmseg.registry import MODELS

from mmseg_mvp.errors import UserError
from mmseg_mvp.models.text import TextClassifier, nearest_words

TOY = dict(model='toy-rn', weights='toy')


def classifier(clip, **prompts):
    torch.manual_seed(0)
    prompts = dict(dict(type='LearnedPrompts', num_prompts=2, context_length=3), **prompts)
    return TextClassifier(clip, prompts, ['car', 'tree'])


def brute_force(learner, candidates):
    """Words by distance, for each prompt and vector: [(distance, token)], one pair after the other."""
    table = learner.tower.module.word_vectors
    return [[sorted((float((vector - table[token]).pow(2).sum().sqrt()), token) for token in candidates)
             for vector in context] for context in learner.prompts.contexts.detach()]


def test_toy_clip_against_a_search_by_hand():
    learner, tokenizer = classifier(TOY), open_clip.SimpleTokenizer()
    known = [token for token, row in enumerate(learner.tower.module.word_vectors)
             if row.any() and tokenizer.decoder[token] not in ('<start_of_text>', '<end_of_text>')]
    found = nearest_words(learner, top=4)
    assert len(found) == 3 and {len(prompt) for prompt in found} == {3}
    for prompt, truths in zip(found, brute_force(learner, known)):
        for nearest, truth in zip(prompt, truths):
            spelled = [tokenizer.decoder[token].replace('</w>', '') for _, token in truth[:4]]
            assert [word.removesuffix('-') for word, _ in nearest] == spelled
            distances = [distance for distance, _ in truth[:4]]
            assert [distance for _, distance in nearest] == pytest.approx(distances, rel=1e-5)


def test_a_vector_that_is_a_word_finds_it():
    learner = classifier(TOY)
    tower = learner.tower.module
    with torch.no_grad():
        for place, word in enumerate(('red', 'house', 'umbrella')):
            learner.prompts.contexts[1, place] = tower.embed(torch.tensor(tower.tokenize(word)))[0]
    assert [vector[0] for vector in nearest_words(learner)[1]] == [('red', 0.), ('house', 0.), ('umbrella', 0.)]


def test_the_search_may_be_among_given_words_only(tiny_rn):
    learner = classifier(tiny_rn, global_prompt=False)
    tokens = {learner.tower.module.tokenizer.encode(word)[0]: word for word in ('sky', 'dog', 'boat')}
    truths = brute_force(learner, tokens)
    for prompt, truth in zip(nearest_words(learner, ['sky', 'dog', 'boat']), truths, strict=True):
        for found, expected in zip(prompt, truth, strict=True):
            assert [word for word, _ in found] == [tokens[token] for _, token in expected]


def test_the_whole_vocabulary_of_clip_is_searched_and_pieces_are_marked(tiny_rn):
    words = classifier(tiny_rn).tower.module.words()
    assert len(words) == 49408 - 2
    encode = open_clip.SimpleTokenizer().encode
    assert words[encode('dog')[0]] == 'dog' and words[encode('pixelated')[0]] == 'pixel-'


def test_what_can_not_be_told(tiny_rn):
    with pytest.raises(UserError, match='TemplatePrompts, sentences without context vectors'):
        nearest_words(TextClassifier(tiny_rn, dict(type='TemplatePrompts'), ['car', 'tree']))
    learner = classifier(tiny_rn)
    with pytest.raises(UserError, match="'snowboarder-like' has . tokens"):
        nearest_words(learner, ['dog', 'snowboarder-like'])
    with pytest.raises(UserError, match='top.* is 0'):
        nearest_words(learner, top=0)
    with pytest.raises(UserError, match="no vector for 'zebra'"):
        nearest_words(classifier(TOY), ['zebra'])


@pytest.fixture(scope='module')
def head(tiny_rn):
    return MODELS.build(dict(type='MultiPromptTextHead', clip=tiny_rn, train_classes='toy:seen', in_index=0)).eval()


@pytest.mark.parametrize('options', [dict(top=0), dict(top='a'), dict(top=1.5), dict(top=None), dict(words=[]),
                                     dict(words=3), dict(words='cat'), dict(words=[3]), dict(words=[''])])
def test_nearest_words(head, options):
    refused(lambda: nearest_words(head.classifier, **options))

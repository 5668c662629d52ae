"""Vocabulary words nearest to learned prompts."""
from collections.abc import Sequence

import torch

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from .prompts import LearnedPrompts
from .text_classifier import TextClassifier

NearestWords = list[list[list[tuple[str, float]]]]


@torch.no_grad()
def nearest_words(classifier: TextClassifier, words: Sequence[str] | None = None, top: int = 5) -> NearestWords:
    """Find the words nearest to each learned context vector by Euclidean distance.

    CoOp (arXiv 2109.01134, 'Interpreting the Learned Prompts') interprets vectors in this way. It warns that nearest
    words can be far from the meaning of a vector.

    Args:
        classifier (TextClassifier): Classifier with ``LearnedPrompts``.
        words (Sequence[str], optional): Candidate words of one token each. None takes CLIP's vocabulary, in which a
            ``-`` marks the missing part of a word.
        top (int): Words per vector.

    Returns:
        list[list[list[tuple[str, float]]]]: Words and distances, nearest first, by prompt (first the global one, if
        present) and context vector.

    Raises:
        UserError: If the prompts are not learned, an argument is not valid, or a word has several tokens or no vector.
    """
    if not isinstance(classifier.prompts, LearnedPrompts):
        raise UserError(f'The prompts of this model are {type(classifier.prompts).__name__}, sentences without context '
                        f'vectors, so there are no nearest words: use a model with LearnedPrompts.')
    contexts = classifier.prompts.contexts  # (P, M, width)
    check_number('The top of nearest_words (--top)', top, least=1, whole=True)
    if words is not None and (isinstance(words, str) or not isinstance(words, Sequence) or not words
                              or not all(isinstance(word, str) for word in words)):
        raise UserError(f'nearest_words got the words {words!r}: expected a list of words, or None for all that CLIP '
                        f'has.')
    text = classifier.tower.module
    table = text.words() if words is None else {_token(text, word): word for word in words}
    vectors = text.embed(torch.tensor(list(table), device=contexts.device))
    # The matrix product form is inaccurate for small distances between large vectors.
    distances = torch.cdist(contexts.flatten(0, 1), vectors, compute_mode='donot_use_mm_for_euclid_dist')  # (P*M, N)
    nearest, indices = distances.sort(dim=1, stable=True)
    names = list(table.values())
    rows = [[(names[index], distance) for index, distance in zip(*pair)]
            for pair in zip(indices[:, :top].tolist(), nearest[:, :top].tolist())]
    length = contexts.shape[1]
    return [rows[start:start + length] for start in range(0, len(rows), length)]


def _token(text, word: str) -> int:
    """Return the token of a word. Raise UserError if it has several or no vector."""
    ids = text.tokenize(word)
    if len(ids) > 1:
        raise UserError(f"The word '{word}' has {len(ids)} tokens in CLIP '{text.name}', so it has no one vector to be "
                        f'near to: give words of one token.')
    return ids[0]

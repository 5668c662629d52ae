"""What learned prompts are near to in words."""
from collections.abc import Sequence

import torch

from mmseg_mvp.checking import check_number
from mmseg_mvp.errors import UserError

from .text_classifier import TextClassifier

NearestWords = list[list[list[tuple[str, float]]]]


@torch.no_grad()
def nearest_words(classifier: TextClassifier, words: Sequence[str] | None = None, top: int = 5) -> NearestWords:
    """The words whose vectors are nearest to each learned context vector, by Euclidean distance.

    CoOp (arXiv 2109.01134, 'Interpreting the Learned Prompts') looks at its context vectors so, and warns that the
    nearest words need not say what a vector means: learned vectors lie where no word does.

    Args:
        classifier (TextClassifier): With ``LearnedPrompts``.
        words (Sequence[str], optional): Where to look, of one token each; None looks through CLIP's whole vocabulary. A
            token that is the beginning of longer words ends in ``-``.
        top (int): Words for each vector.

    Returns:
        list[list[list[tuple[str, float]]]]: For each prompt (the global one first, if there is one), for each of its M
        context vectors, ``top`` words and their distances, nearest first.

    Raises:
        UserError: If the prompts are not learned, ``top`` is not positive, or a word has no vector of its own.
    """
    contexts = getattr(classifier.prompts, 'contexts', None)
    if contexts is None:
        raise UserError(f'The prompts of this model are {type(classifier.prompts).__name__}, sentences without context '
                        f'vectors, so there are no nearest words: they exist for LearnedPrompts.')
    check_number('The top of nearest_words (--top)', top, least=1, whole=True)
    if words is not None and (isinstance(words, str) or not isinstance(words, Sequence) or not words
                              or not all(isinstance(word, str) for word in words)):
        raise UserError(f'nearest_words got the words {words!r}: expected a list of words, or None for all that CLIP '
                        f'has.')
    text = classifier.tower.module
    table = text.words() if words is None else {_token(text, word): word for word in words}
    vectors = text.embed(torch.tensor(list(table), device=contexts.device))
    # Small differences of large vectors: the usual way through a matrix product would lose them.
    distances = torch.cdist(contexts.flatten(0, 1), vectors, compute_mode='donot_use_mm_for_euclid_dist')
    nearest, indices = distances.sort(dim=1, stable=True)
    names = list(table.values())
    rows = [[(names[index], distance) for index, distance in zip(*pair)]
            for pair in zip(indices[:, :top].tolist(), nearest[:, :top].tolist())]
    length = contexts.shape[1]
    return [rows[start:start + length] for start in range(0, len(rows), length)]


def _token(text, word: str) -> int:
    """The token of a word.

    Raises:
        UserError: If it has several, or no vector.
    """
    ids = text.tokenize(word)
    if len(ids) > 1:
        raise UserError(f"The word '{word}' has {len(ids)} tokens in CLIP '{text.name}', so it has no one vector to be "
                        f'near to: give words of one token.')
    return ids[0]

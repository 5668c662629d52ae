"""Rows of the classifier from examples: pictures of a class instead of words, or beside them."""
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

EXAMPLE_WEIGHT = 0.5  # chosen on `val` of the toy world, see docs/toy_examples.md


class ExampleRows:
    """Examples of classes as embeddings in the text space.

    Image features and text embeddings have different means (the modality gap, Liang et al., arXiv 2203.02053), so a
    feature as it is would score higher than all words at every pixel. Therefore only its direction from the mean
    feature of its pictures is used. It starts at the mean embedding of words, and is as long as words are away from it:
    ``row = normalize(origin + spread * direction)``. The row takes the place of words, or is mixed with them:
    ``normalize(weight * row + (1 - weight) * words)``. The length is ours, see docs/toy_examples.md.

    Args:
        directions (Mapping[str, Tensor]): Direction of each class with examples, of unit norm, (D,).
        weight (float): Weight of the examples of classes that have words, too, 0 to 1.

    Raises:
        UserError: If the weight is out of range.
    """

    def __init__(self, directions: Mapping[str, Tensor], weight: float = EXAMPLE_WEIGHT) -> None:
        check_number('example_weight (--example-weight), the weight of examples beside words,', weight, least=0, most=1)
        self.directions, self.weight = dict(directions), weight

    def check(self, classes: Mapping[str, tuple[str, ...]], size: int) -> None:
        """Check that all examples belong to classes and have ``size`` values.

        Raises:
            UserError: If not.
        """
        strangers = [name for name in self.directions if name not in classes]
        if strangers:
            raise UserError(f'There are examples of {strangers[:3]}, which are not among the classes: add them.')
        wrong = [name for name, direction in self.directions.items() if direction.shape != (size, )]
        if wrong:
            shape = tuple(self.directions[wrong[0]].shape)
            raise UserError(f'The examples of {wrong[:3]} have the shape {shape}, but the text embeddings of the model '
                            f'have {size} values: compute them with this model.')

    def mixed(self, words: Tensor, vocabulary: Mapping[str, tuple[str, ...]], num_rows: Callable[[tuple], int],
              reference: Tensor, has_global: bool) -> Tensor:
        """Return the rows of all classes, (P, S, D).

        Args:
            words (Tensor): Embeddings of the words, (P, S', D), without classes of examples alone.
            vocabulary (Mapping[str, tuple[str, ...]]): Classes in order, with their wordings.
            num_rows (Callable): Function that returns the number of rows of the wordings of a class.
            reference (Tensor): Embeddings of N words that define the origin and the spread, (P, N, D).
            has_global (bool): True if the first prompt is the global one. Presence is scored by words, if there are.
        """
        origin = reference.mean(dim=1, keepdim=True)  # (P, 1, D)
        spread = (reference - origin).norm(dim=-1, keepdim=True).mean(dim=1, keepdim=True)  # (P, 1, 1)
        groups = words.split([num_rows(wordings) for wordings in vocabulary.values()], dim=1)  # C of (P, S_c, D)
        rows = []
        for name, group in zip(vocabulary, groups):
            if name in self.directions:
                row = F.normalize(origin + spread * self.directions[name].to(origin), dim=-1)  # (P, 1, D)
                group = self._with_words(row, group, has_global)
            rows.append(group)
        return torch.cat(rows, dim=1)

    def _with_words(self, row: Tensor, words: Tensor, has_global: bool) -> Tensor:
        """Mix the row of examples, (P, 1, D), with the rows of words, (P, S_c, D); return it alone without words."""
        if not words.shape[1]:
            return row
        both = F.normalize(self.weight * row + (1 - self.weight) * words, dim=-1)
        return torch.cat([words[:has_global], both[has_global:]])

"""Classes with the embeddings of their examples, in memory and as a file."""
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import atomic_write, check_new_file

from .export.common import as_json, read_tensors

FORMAT = 'mmseg_mvp.examples.1'


@dataclass(frozen=True, eq=False, repr=False)
class ExampleEmbedding:
    """Examples of a class as an embedding.

    Attributes:
        direction (Tensor): Mean feature of the regions minus that of all pictures, of unit norm, (D,).
        metadata (dict[str, str]): CLIP and features that it was computed with.
    """
    direction: Tensor
    metadata: dict[str, str]


class ExampleClasses(dict):
    """Classes with the embeddings of their examples; use it as ``classes``, alone or as ``{**examples, 'sky': 'sky'}``.

    A key is the name of a class, and its value a list of its words and an :class:`ExampleEmbedding`.
    """

    def save(self, path: str | Path) -> None:
        """Write the classes to a new file, ``.safetensors``: names, words, embeddings and the fingerprint of the CLIP.

        Raises:
            UserError: If the file exists or can't be written.
        """
        check_new_file(path, '.safetensors')
        embeddings = [value[-1] for value in self.values()]
        words = {name: value[:-1] for name, value in self.items()}
        directions = torch.stack([one.direction for one in embeddings]).float().cpu()  # (N, D)
        metadata = dict(embeddings[0].metadata, format=FORMAT, classes=as_json(words))
        with atomic_write(path) as part:
            part.write_bytes(save(dict(directions=directions.contiguous()), metadata))

    @classmethod
    def load(cls, path: str | Path) -> 'ExampleClasses':
        """Read a file of :meth:`save`.

        Raises:
            UserError: If the file is missing, damaged or of another kind.
        """
        fix = 'give a file of ExampleClasses.save.'
        tensors, metadata = read_tensors(path, FORMAT, 'examples',
                                         f'it is missing, truncated or not a safetensors file; {fix}', fix)
        words, directions = _checked(metadata, tensors.get('directions'), path)
        origin_of_file = {key: value for key, value in metadata.items() if key not in ('format', 'classes')}
        return cls({name: [*words[name], ExampleEmbedding(direction, origin_of_file)]
                    for name, direction in zip(words, directions)})


def _checked(metadata: dict[str, str], directions: Tensor | None, path: str | Path) -> tuple[dict, Tensor]:
    """Return the words of each class and the directions (N, D) of a file. Raise UserError if they do not fit."""
    try:
        words = json.loads(metadata['classes'])
        fits = (all(isinstance(word, str) for group in words.values() for word in group)
                and directions.dim() == 2 and len(directions) == len(words) and directions.isfinite().all())
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f'{path} is damaged ({type(error).__name__}): compute its examples again.') from error
    if not fits or not {'fingerprint', 'features'} <= set(metadata):
        raise UserError(f'{path} is damaged: its names, embeddings and metadata do not fit; compute its examples '
                        f'again.')
    return words, directions

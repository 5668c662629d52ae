"""Embeddings of examples by a model, and classes of words and examples for it."""
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.clip.identity import weights_hash
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.models.decode_heads import MultiPromptTextHead
from mmseg_mvp.models.text.example_rows import ExampleRows
from mmseg_mvp.models.utils.label_map import image_matrices
from mmseg_mvp.vocabularies import load_vocabulary
from mmseg_mvp.vocabularies.parsing import Source, Vocabulary

from .example_classes import ExampleClasses, ExampleEmbedding
from .examples import Example, has_examples, parts
from .export.common import origin

if TYPE_CHECKING:
    from .inferencer import OpenVocabInferencer

SAME = 1e-6  # difference of a cosine from 1 that is a rounding error
_hashes = WeakKeyDictionary()  # model -> hash of its weights


def embed_examples(seg: 'OpenVocabInferencer', classes: Mapping) -> ExampleClasses:
    """Compute the embeddings of the classes that have examples.

    Classes of words alone are omitted, and classes that have an embedding keep it.

    Args:
        seg (OpenVocabInferencer): Model that computes the features.
        classes (Mapping): Classes with examples, as in :meth:`OpenVocabInferencer.__call__`.

    Raises:
        UserError: If a picture or its region is not valid, or examples do not differ from their pictures.
    """
    words, groups = split_words(classes)
    new = {name: _checked_examples(name, group) for name, group in groups.items()
           if not isinstance(group[0], ExampleEmbedding) or len(group) > 1}
    directions = _directions({name: [_means(seg, example) for example in group] for name, group in new.items()})
    metadata = dict(origin(seg.model.decode_head.classifier), features=describe_features(seg.model)) if new else {}
    return ExampleClasses({name: [*words[name], ExampleEmbedding(directions[name], metadata) if name in new
                            else group[0]] for name, group in groups.items()})


def split_words(classes: Mapping) -> tuple[dict[str, list[str]], dict[str, list]]:
    """Return the words of each class, and the other parts of the classes that have some."""
    words = {name: [part for part in parts(value) if isinstance(part, str)] for name, value in classes.items()}
    others = {name: [part for part in parts(value) if not isinstance(part, str)] for name, value in classes.items()}
    return words, {name: group for name, group in others.items() if group}


def kept_embeddings(classes: Mapping) -> ExampleClasses:
    """Return the embeddings in classes, as :func:`embed_examples` does where no picture can be read.

    Raises:
        UserError: If a class has an example that is not an embedding.
    """
    words, groups = split_words(classes)
    for name, group in groups.items():
        if len(group) > 1 or not isinstance(group[0], ExampleEmbedding):
            raise UserError(f'The examples of {name!r} are pictures, but an export reads only embeddings: save them '
                            f'by OpenVocabInferencer.embed_examples(...).save(FILE), and give this file.')
    return ExampleClasses({name: [*words[name], *group] for name, group in groups.items()})


def _checked_examples(name: str, group: list) -> list[Example]:
    """Return the examples of a class. Raise UserError if one is of another type."""
    for part in group:
        if isinstance(part, ExampleEmbedding):
            raise UserError(f'Class {name!r} has an embedding of examples beside further ones: give all examples of a '
                            f'class together, or the embedding alone.')
        if not isinstance(part, Example):
            raise UserError(f'Class {name!r} has a {type(part).__name__}: expected words or Example(...).')
    return group


def _directions(means: dict[str, list[tuple[Tensor, Tensor]]]) -> dict[str, Tensor]:
    """Return the direction (D,) of each class, given the means (D,) of the regions and pictures of its examples."""
    if not means:
        return {}
    mean = torch.stack([whole for group in means.values() for _, whole in group]).mean(dim=0)  # (D,)
    directions = {}
    for name, group in means.items():
        example = F.normalize(torch.stack([inside for inside, _ in group]).mean(dim=0), dim=0)
        if 1 - F.cosine_similarity(example, mean, dim=0) < SAME:
            raise UserError(f'The examples of {name!r} do not differ from their pictures, because they are the whole '
                            f'of all pictures: give a mask, a box or a point, or examples of further classes.')
        directions[name] = F.normalize(example - mean, dim=0)
    return directions


@torch.no_grad()
def _means(seg: 'OpenVocabInferencer', example: Example) -> tuple[Tensor, Tensor]:
    """Return the mean feature of the region, of unit norm, and that of the whole picture, (D,).

    The features are resized to the picture as class maps are. So the weight of a cell is its share in the pixels of the
    region: the transposed resize of the mask.
    """
    packed = seg.pack(example.image)
    region = example.region(*packed['data_samples'].metainfo['image'].shape[:2])
    data = seg.model.data_preprocessor(pseudo_collate([packed]), False)
    features, covered = seg.model.text_space_features(data['inputs'])  # (1, D, h, w)
    rows, columns = image_matrices(features[0], covered, data['inputs'].shape[2:], data['data_samples'][0].metainfo,
                                   seg.model.align_corners)  # (H, h), (W, w)
    inside = rows.T @ torch.from_numpy(region).to(rows) @ columns  # (h, w)
    whole = rows.mean(dim=0)[:, None] * columns.mean(dim=0)
    means = torch.einsum('dhw,nhw->nd', features[0].to(rows), torch.stack([inside, whole]))
    return F.normalize(means[0], dim=0), means[1]


def describe_features(model: BaseModel) -> str:
    """Return a description of the features, equal for models whose features are the same."""
    backbone, head = model.backbone, model.decode_head
    if (isinstance(backbone, CLIPImageEncoder) and backbone.frozen and isinstance(head, MultiPromptTextHead)
            and isinstance(head.projection, torch.nn.Identity)):
        return f"CLIP's own, dense={backbone.dense}"
    if model not in _hashes:  # slow for large networks
        _hashes[model] = weights_hash(model)
    return f'{type(backbone).__name__} with {type(head).__name__}, weights {_hashes[model]}'


def read_classes(model: BaseModel, classes: Source | Mapping, weight: float,
                 embed: Callable[[Mapping], ExampleClasses]) -> tuple[Vocabulary, ExampleRows | None]:
    """Read classes of words and examples, for ``model.set_classes``.

    Args:
        model (BaseModel): Segmentor with a text head.
        classes (Source | Mapping): Classes, as in :meth:`OpenVocabInferencer.__call__`.
        weight (float): Weight of the examples of classes that have words, too.
        embed (Callable): Function that computes the embeddings of new examples, such as
            ``seg.embed_examples``. :func:`kept_embeddings` takes embeddings only.

    Returns:
        tuple[Vocabulary, ExampleRows | None]: Names with their wordings, and the examples of those that have some.

    Raises:
        UserError: If a class is not valid, or its examples belong to another CLIP or other features.
    """
    if not has_examples(classes):
        return load_vocabulary(classes), None
    words, _ = split_words(classes)
    vocabulary = load_vocabulary({name: words[name] or name for name in classes})
    embedded = {name: value[-1] for name, value in embed(classes).items()}
    _check_origin(embedded, model)
    device = next(model.parameters()).device
    rows = ExampleRows({name: one.direction.to(device) for name, one in embedded.items()}, weight)
    return {name: wordings if words[name] else () for name, wordings in vocabulary.items()}, rows


def _check_origin(embedded: dict[str, ExampleEmbedding], model: BaseModel) -> None:
    """Raise UserError if the examples of a class were computed with another CLIP or other features."""
    clip, own = model.decode_head.classifier.clip, describe_features(model)
    for name, one in embedded.items():
        found = one.metadata
        if found['fingerprint'] != clip.fingerprint:
            raise UserError(f"The examples of {name!r} were computed with CLIP '{found.get('clip')}' (fingerprint "
                            f"{found['fingerprint']}), but the model has {clip.describe()}: compute them with this "
                            f'model.')
        if found['features'] != own:
            raise UserError(f"The examples of {name!r} are of other features ({found['features']}) than those of the "
                            f'model ({own}): compute them with this model.')

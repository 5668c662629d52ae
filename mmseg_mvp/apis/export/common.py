"""What all ways out share: what a file says of its origin, and the check against the model itself."""
import json
import os
from collections.abc import Sequence

import torch
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_mvp import __version__
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.text import TextClassifier

# Share of pixels whose label a file must give as the model does: what rounding may move.
AGREEMENT = 0.999


def text_classifier(model: BaseModel) -> TextClassifier:
    """The text classifier of a segmentor.

    Raises:
        UserError: If it has none.
    """
    head = getattr(model, 'decode_head', model)
    classifier = getattr(head, 'classifier', None)
    if classifier is None:
        raise UserError(f'{type(head).__name__} has no text classifier, so there is nothing to export '
                        f'here: give the config of a model whose head is one, such as MultiPromptTextHead or LSegHead')
    return classifier


def check_one_row_a_class(model: BaseModel, kind: str) -> None:
    """Refuse classes with several wordings whose scores are joined by a maximum.

    Args:
        model (BaseModel): A segmentor with a text classifier.
        kind (str): What such a class has no place in, for the message.

    Raises:
        UserError: If there are some.
    """
    classifier = text_classifier(model)
    several = [name for name, wordings in classifier.vocabulary.items() if len(wordings) > 1]
    if several and len(classifier.row_names) > len(classifier.vocabulary):
        raise UserError(f"The classes {several[:3]} have several wordings, whose highest score counts (synonyms='max')"
                        f', but {kind} holds one embedding a class: give one wording each, or set '
                        f"model.decode_head.synonyms to 'mean'")


def origin(classifier: TextClassifier) -> dict[str, str]:
    """Metadata of any file: who wrote it and which CLIP it needs; of local files the names, not where they lay.

    Args:
        classifier (TextClassifier): With the CLIP.
    """
    clip = classifier.clip
    return dict(writer=f'mmseg_mvp {__version__}', clip=os.path.basename(clip.name),
                weights=os.path.basename(clip.weights), fingerprint=clip.fingerprint)


def as_json(value: object) -> str:
    """JSON that keeps letters of all scripts readable."""
    return json.dumps(value, ensure_ascii=False)


def random_images(batch: int, height: int, width: int) -> Tensor:
    """Coarse and fine noise, the same each time: uint8 RGB, (B, H, W, 3)."""
    generator = torch.Generator().manual_seed(batch + height * width)
    coarse, fine = (torch.rand(batch, 3, *size, generator=generator) for size in ((4, 4), (height, width)))
    images = 0.8 * torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear') + 0.2 * fine
    return (255 * images).byte().permute(0, 2, 3, 1).contiguous()


@torch.no_grad()
def predictions(model: BaseModel, images: Tensor) -> list[SegDataSample]:
    """What a segmentor of mmseg says of pictures, through its data preprocessor and its own ``predict``.

    Args:
        model (BaseModel): The segmentor, in eval mode.
        images (Tensor): RGB, uint8, (B, H, W, 3).

    Returns:
        list[SegDataSample]: As mmseg's ``test_step`` gives them.
    """
    size = tuple(images.shape[1:3])
    samples = [SegDataSample(metainfo=dict(ori_shape=size, img_shape=size)) for _ in images]
    return model.test_step(dict(inputs=list(images.flip(3).permute(0, 3, 1, 2)), data_samples=samples))


def label_maps(samples: Sequence[SegDataSample]) -> Tensor:
    """Label maps of predictions of one size, int64, (B, H, W)."""
    return torch.cat([sample.pred_sem_seg.data for sample in samples])


def dynamic_shapes(multiple: int) -> tuple[tuple[int, int, int], ...]:
    """Batch, height and width of pictures to check with: none a multiple of the other, nor of ``multiple``."""
    unit = max(multiple, 16)
    return (1, 3 * unit + 1, 4 * unit - 5), (3, 5 * unit - 2, 2 * unit)

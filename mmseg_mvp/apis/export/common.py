"""Functions shared by all exports: metadata of the origin, and comparison with the original model."""
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmseg_mvp import __version__
from mmseg_mvp.clip import ProxyTower, unwrap
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.models.text import TextClassifier, TextHead, find_text_head

# Smallest share of pixels with equal labels in the exported and the original model; allows for rounding errors.
AGREEMENT = 0.999
_AFTER_THE_NETWORK = ('class_token_weight', 'word_softmax', 'prob_thd', 'area_thd', 'prompt_denoise', 'key_smooth')


def text_head(model: BaseModel) -> TextHead:
    """Return the decode head of a segmentor.

    Raises:
        UserError: If the model is not a segmentor, or its head does not classify by text.
    """
    if (head := find_text_head(model)) is None:
        raise UserError(f'{type(model).__name__} does not classify by text, so it has no text embeddings to export: '
                        f'give the config of a model with a text head, such as MultiPromptTextHead or LSegHead')
    return head


def text_classifier(model: BaseModel) -> TextClassifier:
    """Return the text classifier of a segmentor.

    Raises:
        UserError: If the segmentor has no text classifier.
    """
    return text_head(model).classifier


def check_one_row_a_class(model: BaseModel, kind: str) -> None:
    """Refuse classes with several wordings that are combined by the maximum score.

    Args:
        model (BaseModel): Segmentor with a text classifier.
        kind (str): Name of the export that needs one embedding per class, for the message.

    Raises:
        UserError: If the model has such classes.
    """
    classifier = text_classifier(model)
    several = [name for name, wordings in classifier.vocabulary.items() if len(wordings) > 1]
    if several and len(classifier.row_names) > len(classifier.vocabulary):
        raise UserError(f"The classes {several[:3]} have several wordings, combined by their highest score "
                        f"(synonyms='max'), but {kind} holds one embedding per class: give one wording each, or set "
                        f"model.decode_head.synonyms to 'mean'")


def check_unrefined(model: BaseModel) -> None:
    """Refuse a model that changes its logits after the network.

    Raises:
        UserError: If a setting of ``test_cfg`` that changes logits or labels is set, or the head does not classify by
            text.
    """
    text_head(model)
    settings = model.test_cfg or {}
    for name, is_set in (('refine', getattr(model, 'refinement', None) is not None),
                         *((key, settings.get(key)) for key in _AFTER_THE_NETWORK)):
        if is_set:
            raise UserError(f'The model changes its logits after the network (test_cfg.{name}), but an exported file '
                            f'can\'t: export with model.test_cfg.{name}=None; the label maps are then those without it')


def check_no_proxy(model: BaseModel) -> None:
    """Refuse features that a second network mixes: its position table is resized by an operation that ONNX lacks.

    Raises:
        UserError: If ``backbone.dense`` is of the type ``'proxy'``.
    """
    if isinstance(model.backbone, CLIPImageEncoder) and isinstance(unwrap(model.backbone.tower), ProxyTower):
        raise UserError('The image features are mixed by a second network (model.backbone.dense of the type '
                        "'proxy'), which an exported file can't hold: run this model in PyTorch, or export it with "
                        "another variant, such as model.backbone.dense='clearclip'.")


def origin(classifier: TextClassifier) -> dict[str, str]:
    """Return the metadata of the origin: the writer and the CLIP. Local files are given by name, without folders.

    Args:
        classifier (TextClassifier): Classifier with the CLIP.
    """
    clip = classifier.clip
    return dict(writer=f'mmseg_mvp {__version__}', clip=os.path.basename(clip.name),
                weights=os.path.basename(clip.weights), fingerprint=clip.fingerprint, weights_hash=clip.weights_hash,
                normalisation=as_json(dict(mean=clip.mean, std=clip.std)))


def as_json(value: object) -> str:
    """Encode a value as JSON without escaping non-ASCII letters."""
    return json.dumps(value, ensure_ascii=False)


def random_images(batch: int, height: int, width: int) -> Tensor:
    """Create RGB images of coarse and fine noise, uint8, (B, H, W, 3); equal sizes give equal images."""
    generator = torch.Generator().manual_seed(batch + height * width)
    coarse, fine = (torch.rand(batch, 3, *size, generator=generator) for size in ((4, 4), (height, width)))
    images = 0.8 * torch.nn.functional.interpolate(coarse, (height, width), mode='bilinear') + 0.2 * fine
    return (255 * images).byte().permute(0, 2, 3, 1).contiguous()


@torch.no_grad()
def predictions(model: BaseModel, images: Tensor) -> list[SegDataSample]:
    """Predict the labels of images with an mmseg segmentor, by its data preprocessor and its own ``predict``.

    Args:
        model (BaseModel): Segmentor in eval mode.
        images (Tensor): RGB, uint8, (B, H, W, 3).

    Returns:
        list[SegDataSample]: Predictions of mmseg's ``test_step``.
    """
    size = tuple(images.shape[1:3])
    samples = [SegDataSample(metainfo=dict(ori_shape=size, img_shape=size)) for _ in images]
    return model.test_step(dict(inputs=list(images.flip(3).permute(0, 3, 1, 2)), data_samples=samples))


def label_maps(samples: Sequence[SegDataSample]) -> Tensor:
    """Stack the label maps of predictions of one size: int64, (B, H, W)."""
    return torch.cat([sample.pred_sem_seg.data for sample in samples])


def dynamic_shapes(multiple: int) -> tuple[tuple[int, int, int], ...]:
    """Return two sets of batch, height and width for the checks; sides are not multiples of each other."""
    unit = max(multiple, 16)
    return (1, 3 * unit + 1, 4 * unit - 5), (3, 5 * unit - 2, 2 * unit)


def read_tensors(path: str | Path, form: str, kind: str, damage: str, fix: str
                 ) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and metadata of a safetensors file, which can't hold code.

    Args:
        path (str | Path): File.
        form (str): Expected ``format`` in the metadata.
        kind (str): Contents, for messages.
        damage (str): Cause and remedy if the file cannot be read.
        fix (str): Remedy for a file of another format.

    Raises:
        UserError: If the file cannot be read or has another format.
    """
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f'{path} cannot be read ({type(error).__name__}): {damage}') from error
    if metadata.get('format') != form:
        raise UserError(f"{path} is not a file of {kind} (its format is {metadata.get('format')!r}, expected "
                        f'{form!r}): {fix}')
    return tensors, metadata

"""Segmentor in operations that an exporter can trace."""
import copy

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.clip import unwrap
from mmseg_mvp.host import swaps_channels
from mmseg_mvp.models.backbones import CLIPImageEncoder
from mmseg_mvp.models.segmentors import CLIPEncoderDecoder, OpenVocabEncoderDecoder
from mmseg_mvp.models.text import ViewFusion, class_maps

from .common import text_classifier, text_head
from .traceable_layers import make_traceable


class GivenText(nn.Module):
    """Replacement of a ``TextClassifier``: its embeddings are constant or an input of the model.

    Args:
        weights (Tensor): Embeddings that the head scores with, (V, S, D).
        row_counts (list[int]): Rows of each class, S in total; all 1 if the embeddings are an input.
        fusion (ViewFusion): Fusion of the views.
    """
    sample_vocabularies = None
    row_names = ()

    def __init__(self, weights: Tensor, row_counts: list[int], fusion: ViewFusion) -> None:
        super().__init__()
        self.register_buffer('weights', weights)
        self.row_counts, self.fusion = row_counts, fusion
        self.given = None

    def score_weights(self) -> Tensor:
        """Return the current embeddings, (V, S, D)."""
        return self.weights if self.given is None else self.given

    def forward(self, features: Tensor, weights: Tensor, words: bool = False) -> Tensor:
        """Compute the fused class maps (B, 1 or 2, C, h, w) of features (B, D, h, w), as ``TextClassifier`` does."""
        return class_maps(features, weights, [1] * weights.shape[1] if words else self.row_counts, self.fusion)


class TraceableSegmentor(nn.Module):
    """Segmentor in traceable operations, from images to label maps of the same size.

    Args:
        model (BaseModel): Segmentor; it is copied, not changed.
        scores (bool): True also returns the logits.
    """

    def __init__(self, model: BaseModel, scores: bool = False) -> None:
        super().__init__()
        classifier = text_classifier(model)
        self.text = GivenText(text_embeddings(model), classifier.row_counts, classifier.fusion)
        self.model = _traceable_copy(model)
        self.model.decode_head.replace_classifier(self.text)
        self.scores, self.multiple = scores, pad_multiple(model)

    def forward(self, images: Tensor, text: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Segment whole images, without sliding windows.

        Args:
            images (Tensor): RGB, uint8, (B, H, W, 3).
            text (Tensor, optional): Embeddings of the classes, (V, C, D); None uses the constant ones.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Label maps (B, H, W), int64; with ``scores`` also the logits (B, C, H, W).
        """
        self.text.given = text
        pixels = images.float()  # the only reader of the input: TensorRT takes bytes into a cast alone
        height, width = pixels.shape[1:3]
        x = F.pad(self._normalised(pixels), (0, -width % self.multiple, 0, -height % self.multiple))
        logits = self.model.decode_head(self.model.extract_feat(x))
        logits = F.interpolate(logits, size=x.shape[2:], mode='bilinear', align_corners=self.model.align_corners)
        logits = logits[..., :height, :width]
        labels = logits.argmax(dim=1)
        return (labels, logits) if self.scores else labels

    def _normalised(self, pixels: Tensor) -> Tensor:
        """Normalise RGB images (B, H, W, 3) as mmseg's data preprocessor does with BGR images, (B, 3, H, W)."""
        preprocessor, x = self.model.data_preprocessor, pixels.permute(0, 3, 1, 2)
        x = x if swaps_channels(preprocessor) else x.flip(1)
        return (x - preprocessor.mean) / preprocessor.std if preprocessor._enable_normalize else x


def _traceable_copy(model: BaseModel) -> BaseModel:
    """Copy a model in eval mode, with traceable layers, an unwrapped frozen tower, and no autocast in the backbone."""
    model = copy.deepcopy(model).eval()
    make_traceable(model)
    if isinstance(model.backbone, CLIPImageEncoder):
        model.backbone.autocast = None
        model.backbone.tower = unwrap(model.backbone.tower)
    return model


def pad_multiple(model: BaseModel) -> int:
    """Return the number to whose multiples the sides of images are padded."""
    if isinstance(model, CLIPEncoderDecoder):
        return model.backbone.stride
    return model.size_divisor if isinstance(model, OpenVocabEncoderDecoder) else 1


@torch.no_grad()
def text_embeddings(model: BaseModel) -> Tensor:
    """Return the embeddings that the head scores with: ``[sum_i t_i]``, with GPR ``[sum_i t_i, t_0]``.

    The fusion ``'logsumexp'`` has ``t_1 .. t_k`` instead of the sum. A learned background is included.

    Args:
        model (BaseModel): Segmentor with a text classifier, in eval mode.

    Returns:
        Tensor: (V, S, D), one row per wording.
    """
    return text_head(model).class_weights().clone()

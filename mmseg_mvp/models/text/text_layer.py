"""A last layer of text: what stands in the place of a decode head's ``conv_seg``."""
import math

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.checking import check_number, check_tensor
from mmseg_mvp.errors import UserError

from .text_classifier import TextClassifier

# Logit of a class that the label list of a sample lacks, beside samples with longer lists: finite in float16, and so
# low that exp() of it is 0.
NEVER = -3e4


class TextLayer(nn.Module):
    """Scores features by the text embeddings of class names, in the place of a 1x1 convolution.

    ``logits_c = <f, sum_i t_i^c>`` over the prompts' segmentation views (MVP-SEG+, arXiv 2304.06957, and MaskCLIP+: f
    is not normalised, the text embeddings are), or ``cos(f, sum_i t_i^c) / temperature`` (LSeg, arXiv 2201.03546). A
    1x1 projection is learned where the channels differ from CLIP's embedding.

    Args:
        classifier (TextClassifier): Names and prompts.
        channels (int): Channels of the features.
        temperature (float, optional): Divides cosines; None takes products with features as they are.
        learn_temperature (bool): Whether the temperature is learned, from that value on; else it is a buffer.
        learn_background (bool): Whether the class called 'background' has a learned embedding instead of that of its
            name, which says little (Context60 in MaskCLIP+).
        regularization (dict, optional): Config of what the scores go through last, such as ``SpatialRegularization``.

    Raises:
        UserError: If the temperature is not positive, or there is none to learn, or a background is to be learned and
            no class is called so.
    """

    def __init__(self, classifier: TextClassifier, channels: int, temperature: float | None = None,
                 learn_temperature: bool = False, learn_background: bool = False,
                 regularization: dict | None = None) -> None:
        super().__init__()
        if temperature is not None:
            check_number('The temperature of the text layer', temperature, above=0)
        if temperature is None and learn_temperature:
            raise UserError(f'The temperature of the text layer is {temperature}, but it must be positive, or None for '
                            f'features that are not normalised (then there is none to learn).')
        if learn_background and 'background' not in classifier.vocabularies[True]:
            raise UserError('learn_background is set, but no training class is called \'background\': name one so, or '
                            'unset it.')
        self.classifier = classifier
        self.projection = nn.Identity() if channels == classifier.embed_dim else nn.Conv2d(
            channels, classifier.embed_dim, 1)
        log_scale = None if temperature is None else torch.tensor(-math.log(temperature))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer('log_scale', log_scale)
        self.background = None
        if learn_background:
            self.background = nn.Parameter(F.normalize(torch.randn(classifier.embed_dim), dim=0))
        self.regularization = nn.Identity() if regularization is None else MODELS.build(regularization)

    def weights(self) -> Tensor:
        """Text embeddings, summed over the views, with the learned background in its place, (S, D)."""
        weights, names = self.classifier.fused_weights()[0], self.classifier.row_names
        if self.background is None or 'background' not in names:
            return weights
        rows = torch.tensor([name == 'background' for name in names], device=weights.device)
        return torch.where(rows[:, None], self.background, weights)

    def forward(self, features: Tensor) -> Tensor:
        """Score features.

        Args:
            features (Tensor): Features of a head, (B, channels, h, w).

        Returns:
            Tensor: Logits, (B, C, h, w). Where the samples have label lists of their own, C is the length of the
            longest, and the logits beyond a sample's list are ``NEVER``.
        """
        check_tensor(type(self).__name__, features, 'B, channels, h, w', next(self.projection.parameters(), None))
        features = self.projection(features)
        if self.log_scale is not None:
            features = F.normalize(features, dim=1)
        lists = self.classifier.label_lists
        return self._score(features) if lists is None else self._score_each(features, lists)

    def _score(self, features: Tensor) -> Tensor:
        """Logits (B, C, h, w) of projected features (B, D, h, w)."""
        weights = self.weights()
        if self.log_scale is not None:
            weights = F.normalize(weights, dim=1) * self.log_scale.exp()
        return self.regularization(self.classifier(features, weights[None])[:, 0])

    def _score_each(self, features: Tensor, lists: list[dict]) -> Tensor:
        logits = []
        for one, vocabulary in zip(features, lists, strict=True):
            with self.classifier.using([vocabulary]):
                logits.append(self._score(one[None])[0])
        longest = max(len(one) for one in logits)
        return torch.stack([F.pad(one, (0, 0, 0, 0, 0, longest - len(one)), value=NEVER) for one in logits])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        saved = state_dict.get(f'{prefix}projection.weight')
        if saved is not None and len(saved) != self.classifier.embed_dim:
            raise UserError(f'The checkpoint\'s head has embeddings of size {len(saved)}, but those of '
                            f'{self.classifier.clip.describe()} have {self.classifier.embed_dim}: set clip to the one '
                            f'that the head was trained with.')
        super()._load_from_state_dict(state_dict, prefix, *args)

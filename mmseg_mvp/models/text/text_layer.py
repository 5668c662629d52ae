"""Text embeddings as the last layer of a decode head, in place of ``conv_seg``."""
import math

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number, check_tensor

from .text_classifier import TextClassifier

# Logit of padding classes, for samples with a smaller vocabulary than others in the batch. It is finite in float16, and
# its exp() is 0.
NEVER = -3e4


class TextLayer(nn.Module):
    """Classifier of features by text embeddings of class names; replaces a 1x1 convolution.

    Without temperature, ``logits_c = <f, sum_i t_i^c>`` over the segmentation views: text embeddings are normalised,
    features are not (MVP-SEG+, arXiv 2304.06957; MaskCLIP+). With temperature,
    ``logits_c = cos(f, sum_i t_i^c) / temperature`` (LSeg, arXiv 2201.03546). A learned 1x1 projection adapts
    ``channels`` to CLIP's embedding size if they differ.

    Args:
        classifier (TextClassifier): Classifier with names and prompts.
        channels (int): Feature channels.
        temperature (float, optional): Divisor of cosines; None takes plain products.
        learn_temperature (bool): If True, the temperature is learned; otherwise it is a buffer.
        learn_background (bool): If True, the class named 'background' has a learned embedding, because its name has
            little meaning (Context60 in MaskCLIP+).
        regularization (dict, optional): Config of a module applied to the scores, such as ``SpatialRegularization``.

    Raises:
        UserError: If the temperature is not positive, ``learn_temperature`` has no temperature, or ``learn_background``
            has no training class named 'background'.
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
        if learn_background and 'background' not in classifier.train_vocabulary:
            raise UserError('learn_background is set, but no training class is called \'background\': name a class so, '
                            'or set learn_background=False.')
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
        self.returns_features = False
        self.regularization = nn.Identity() if regularization is None else MODELS.build(regularization)

    def weights(self) -> Tensor:
        """Return the text embeddings (V, S, D) that score features, with the learned background. V is 1 for a sum."""
        weights, names = self.classifier.score_weights()[:self.classifier.fusion.rows], self.classifier.row_names
        if self.background is None or 'background' not in names:
            return weights
        rows = torch.tensor([name == 'background' for name in names], device=weights.device)
        return torch.where(rows[:, None], self.background / len(weights), weights)  # the fusion sums V equal scores

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits (B, C, h, w) of a head's features (B, channels, h, w).

        If samples have their own vocabularies, C is the size of the largest one, and logits beyond the vocabulary of a
        sample are ``NEVER``. With ``returns_features``, the result is the projected features, (B, D, h, w).

        Raises:
            UserError: If ``features`` is not such a tensor or is on another device.
        """
        check_tensor(type(self).__name__, features, 'B, channels, h, w', next(self.projection.parameters(), None))
        features = self.projection(features)
        if self.returns_features:
            return features
        if self.log_scale is not None:
            features = F.normalize(features, dim=1)
        vocabularies = self.classifier.sample_vocabularies
        return self._score(features) if vocabularies is None else self._score_each(features, vocabularies)

    def _score(self, features: Tensor) -> Tensor:
        """Return logits (B, C, h, w) of projected features (B, D, h, w)."""
        weights = self.weights()
        scaled = self.log_scale is not None
        if scaled:
            weights = F.normalize(weights, dim=-1) * (self.log_scale.exp() if self.classifier.fusion.linear else 1)
        logits = self.classifier(features, weights)[:, 0]  # (B, 1, C, h, w) -> (B, C, h, w)
        if scaled and not self.classifier.fusion.linear:
            logits = logits * (self.log_scale.exp() / len(weights))  # the mean over views, not the sum
        return self.regularization(logits)

    def _score_each(self, features: Tensor, vocabularies: list[dict]) -> Tensor:
        logits = []
        for one, vocabulary in zip(features, vocabularies, strict=True):
            with self.classifier.using([vocabulary]):
                logits.append(self._score(one[None])[0])  # (C_i, h, w)
        longest = max(len(one) for one in logits)
        return torch.stack([F.pad(one, (0, 0, 0, 0, 0, longest - len(one)), value=NEVER) for one in logits])

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        saved = state_dict.get(f'{prefix}projection.weight')
        if saved is not None and len(saved) != self.classifier.embed_dim:
            raise UserError(f'The checkpoint\'s head has embeddings of size {len(saved)}, but those of '
                            f'{self.classifier.clip.describe()} have {self.classifier.embed_dim}: set clip to the one '
                            f'that the head was trained with.')
        super()._load_from_state_dict(state_dict, prefix, *args)

"""A last layer of text: what stands in the place of a decode head's ``conv_seg``."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError

from .text_classifier import TextClassifier


class TextLayer(nn.Module):
    """Scores features by the text embeddings of class names, in the place of a 1x1 convolution.

    ``logits_c = <f, sum_i t_i^c>`` over the prompts' segmentation views (MVP-SEG+, arXiv 2304.06957, and MaskCLIP+: f
    is not normalised, the text embeddings are), or ``cos(f, sum_i t_i^c) / temperature`` (LSeg, arXiv 2201.03546). A
    1x1 projection is learned where the channels differ from CLIP's embedding.

    Args:
        classifier (TextClassifier): Names and prompts.
        channels (int): Channels of the features.
        temperature (float, optional): Divides cosines; None takes products with features as they are.
        learn_background (bool): Whether the class called 'background' has a learned embedding instead of that of its
            name, which says little (Context60 in MaskCLIP+).

    Raises:
        UserError: If the temperature is not positive, or a background is to be learned and no class is called so.
    """

    def __init__(self, classifier: TextClassifier, channels: int, temperature: float | None = None,
                 learn_background: bool = False) -> None:
        super().__init__()
        if temperature is not None and temperature <= 0:
            raise UserError(f'The temperature of the text layer is {temperature}, but it must be positive, or None for '
                            f'features that are not normalised.')
        if learn_background and 'background' not in classifier.vocabularies[True]:
            raise UserError('learn_background is set, but no training class is called \'background\': name one so, or '
                            'unset it.')
        self.classifier = classifier
        self.temperature = temperature
        self.projection = nn.Identity() if channels == classifier.embed_dim else nn.Conv2d(
            channels, classifier.embed_dim, 1)
        self.background = None
        if learn_background:
            self.background = nn.Parameter(F.normalize(torch.randn(classifier.embed_dim), dim=0))

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
            Tensor: Logits, (B, C, h, w).
        """
        features, weights = self.projection(features), self.weights()
        if self.temperature is not None:
            features, weights = F.normalize(features, dim=1), F.normalize(weights, dim=1) / self.temperature
        return self.classifier(features, weights[None])[:, 0]

"""Contract of decode heads that classify by text."""
from collections.abc import Iterator
from contextlib import contextmanager

from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from .text_classifier import TextClassifier


class TextHead:
    """Base of decode heads that classify by text embeddings; mix it into mmseg's ``BaseDecodeHead``.

    The segmentor, the hooks and the exports use these members only.

    Attributes:
        classifier (TextClassifier): Names, prompts and text embeddings.
        gpr (GPR, optional): Global Prompt Refining; None without.
        returns_features (bool): True within :meth:`returning_features`.
    """
    classifier: TextClassifier
    returns_features = False

    def class_weights(self) -> Tensor:
        """Return the text embeddings that score features, (V, S, D): segmentation views, then GPR's global view."""
        raise NotImplementedError

    @contextmanager
    def returning_features(self) -> Iterator[None]:
        """Return features in the text space, (B, D, h, w), instead of logits within the context."""
        self.returns_features = True
        try:
            yield
        finally:
            self.returns_features = False

    def replace_classifier(self, classifier: nn.Module) -> None:
        """Replace the classifier, for exports with constant or given embeddings."""
        self.classifier = classifier


def find_text_head(model: nn.Module) -> TextHead | None:
    """Return the decode head of a segmentor if it classifies by text, else None."""
    if isinstance(model, BaseSegmentor) and model.with_decode_head and isinstance(model.decode_head, TextHead):
        return model.decode_head
    return None

"""Interface of heads with a text classifier."""


class VocabularyMixin:
    """Mixin for decode heads with a ``classifier``, a :class:`TextClassifier`: changes the test vocabulary."""

    def set_classes(self, classes: str | list) -> None:
        """Replace the test vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`."""
        self.classifier.set_classes(classes)
        self.num_classes = self.out_channels = len(self.classifier.vocabularies[False])

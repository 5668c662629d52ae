"""What all heads with a text classifier share."""


class VocabularyMixin:
    """Lets a decode head of mmseg take other names; it has a ``classifier``, a :class:`TextClassifier`."""

    def set_classes(self, classes: str | list) -> None:
        """Segment by other names from now on (in eval mode).

        Args:
            classes (str | list): A vocabulary, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        """
        self.classifier.set_classes(classes)
        self.num_classes = self.out_channels = len(self.classifier.vocabularies[False])

"""Packing of samples with their vocabulary."""
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import load_vocabulary
from mmseg_mvp.vocabularies.parsing import Source


@TRANSFORMS.register_module(name=['PackVocabulary', 'PackLabelList'])  # the second name is the former one
class PackVocabulary(PackSegInputs):
    """mmseg's ``PackSegInputs`` with the vocabulary of the sample in its metainfo.

    ``OpenVocabEncoderDecoder`` scores each sample against its own vocabulary. One model can thus train on data
    sets with different classes (LSeg's demo model, arXiv 2201.03546), and an episode can name its class.

    Args:
        classes (Source, optional): Vocabulary of the data set in the order of its labels, see
            :func:`mmseg_mvp.vocabularies.load_vocabulary`. None takes the ``vocabulary`` of each sample.
        **kwargs: As in mmseg.

    Raises:
        UserError: If the vocabulary cannot be read.
    """

    def __init__(self, classes: Source | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.vocabulary = None if classes is None else load_vocabulary(classes)

    def transform(self, results: dict) -> dict:
        """Pack ``inputs`` (3, H, W) and ``data_samples`` with ``vocabulary`` in their metainfo.

        Raises:
            UserError: If the list is missing or cannot be read.
        """
        if self.vocabulary is None and 'vocabulary' not in results:
            raise UserError(f"{results.get('img_path', 'A sample')} has no vocabulary: give PackVocabulary "
                            "the classes of the data set, such as classes='ade20k'.")
        packed = super().transform(results)
        vocabulary = self.vocabulary or load_vocabulary(results['vocabulary'])
        packed['data_samples'].set_metainfo(dict(vocabulary=vocabulary))
        return packed

"""Packs samples that name the labels they are scored against."""
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.vocabularies import load_vocabulary
from mmseg_mvp.vocabularies.parsing import Source


@TRANSFORMS.register_module()
class PackLabelList(PackSegInputs):
    """mmseg's ``PackSegInputs``, with the label list of the sample in its meta information.

    ``OpenVocabEncoderDecoder`` scores each sample against its own list: data sets with different classes train one
    model (LSeg's demo model, arXiv 2201.03546), and episodes name what they look for.

    Args:
        classes: The vocabulary of the data set, see :func:`mmseg_mvp.vocabularies.load_vocabulary`, in the order of its
            labels; None takes the entry's own ``label_list``, a vocabulary as well.
        **kwargs: As in mmseg.

    Raises:
        UserError: If the vocabulary can't be read.
    """

    def __init__(self, classes: Source | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.vocabulary = None if classes is None else load_vocabulary(classes)

    def transform(self, results: dict) -> dict:
        """Pack a sample.

        Args:
            results (dict): As in mmseg; without ``classes``, with a ``label_list``.

        Returns:
            dict: ``inputs`` (3, H, W) and ``data_samples``, whose meta information has ``label_list``: names and their
            wordings.

        Raises:
            UserError: If there is no list, or it can't be read.
        """
        if self.vocabulary is None and 'label_list' not in results:
            raise UserError(f"{results.get('img_path', 'A sample')} comes without a label_list: give PackLabelList the "
                            "classes of the data set, such as classes='ade20k'.")
        packed = super().transform(results)
        vocabulary = self.vocabulary or load_vocabulary(results['label_list'])
        packed['data_samples'].set_metainfo(dict(label_list=vocabulary))
        return packed

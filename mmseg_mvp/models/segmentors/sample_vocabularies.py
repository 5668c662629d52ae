"""Scoring of samples against their own vocabularies."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import SampleList
from torch import nn

from mmseg_mvp.errors import UserError

from ..text.text_head import TextHead


@contextmanager
def sample_vocabularies(model: EncoderDecoder, samples: SampleList) -> Iterator[None]:
    """Score samples against the ``vocabulary`` in their metainfo within the context, if they have one.

    Raises:
        UserError: If only some samples have a vocabulary, the head does not classify by text, or a label is not in the
            sample's vocabulary.
    """
    vocabularies = [sample.metainfo.get('vocabulary') for sample in samples]
    if not any(vocabularies):
        yield
        return
    _check(vocabularies, samples, model.decode_head)
    before, model.out_channels = model.out_channels, max(map(len, vocabularies))  # number of maps in sliding windows
    try:
        with model.decode_head.classifier.using(vocabularies):
            yield
    finally:
        model.out_channels = before


def _check(vocabularies: list[dict | None], samples: SampleList, head: nn.Module) -> None:
    if not all(vocabularies):
        raise UserError(f'{vocabularies.count(None)} of the {len(vocabularies)} samples of a batch have no vocabulary: '
                        f'end the pipelines of all data sets with PackVocabulary, or of none.')
    if not isinstance(head, TextHead):
        raise UserError(f'{type(head).__name__} does not classify by text, so it cannot take the vocabulary of the '
                        f'samples: use a head such as LSegHead, or end the pipelines with PackSegInputs.')
    for names, sample in zip(vocabularies, samples):
        labels = sample.gt_sem_seg.data if 'gt_sem_seg' in sample else torch.empty(0)
        strange = labels[(labels >= len(names)) & (labels != head.ignore_index)]
        if len(strange):
            raise UserError(f"{sample.metainfo.get('img_path', 'An image')} has the label {int(strange[0])}, but its "
                            f'vocabulary has {len(names)} names: give PackVocabulary the classes of that data set.')

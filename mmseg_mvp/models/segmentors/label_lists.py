"""Scoring of samples against their label lists."""
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import SampleList
from torch import nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE


@contextmanager
def own_label_lists(model: EncoderDecoder, samples: SampleList) -> Iterator[None]:
    """Score samples against the ``label_list`` in their metainfo within the context, if they have one.

    A label list is a vocabulary of names and their wordings.

    Raises:
        UserError: If only some samples have a list, the head has no text classifier, or a label is outside its list.
    """
    lists = [sample.metainfo.get('label_list') for sample in samples]
    if not any(lists):
        yield
        return
    _check(lists, samples, model.decode_head)
    before, model.out_channels = model.out_channels, max(map(len, lists))  # number of maps in sliding windows
    try:
        with model.decode_head.classifier.using(lists):
            yield
    finally:
        model.out_channels = before


def _check(lists: list[dict | None], samples: SampleList, head: nn.Module) -> None:
    if not all(lists):
        raise UserError(f'{lists.count(None)} of the {len(lists)} samples of a batch carry no label_list: end the '
                        f'pipelines of all data sets with PackLabelList, or none.')
    if not hasattr(head, 'classifier'):
        raise UserError(f'{type(head).__name__} has no text classifier that could take the label lists of the samples: '
                        f'use a head such as LSegHead, or end the pipelines with PackSegInputs.')
    for names, sample in zip(lists, samples):
        labels = sample.gt_sem_seg.data if 'gt_sem_seg' in sample else torch.empty(0)
        strange = labels[(labels >= len(names)) & (labels != IGNORE)]
        if len(strange):
            raise UserError(f"{sample.metainfo.get('img_path', 'An image')} has the label {int(strange[0])}, but its "
                            f'list has {len(names)} names: give PackLabelList the classes of that data set.')

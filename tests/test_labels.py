"""Hidden labels: told apart from every other label, as arrays and as tensors of any width."""
import numpy as np
import pytest
import torch
from fixtures.lanes import UINT16

from mmseg_mvp.labels import HIDDEN, IGNORE, UNKNOWN, hidden_truth, is_hidden
from mmseg_mvp.vocabularies import label_sets, load_vocabulary

LABELS = [[0, 19, 254, IGNORE], [HIDDEN, HIDDEN + 19, HIDDEN + 254, HIDDEN + UNKNOWN]]
WIDE = [np.uint16, np.int32, np.int64]


def test_values_fit_16_bits_and_reach_no_class():
    assert IGNORE < HIDDEN < HIDDEN + UNKNOWN < 2**16
    assert max(IGNORE, *(len(load_vocabulary(name)) for name in label_sets())) < UNKNOWN


@pytest.mark.parametrize('kind, dtype', [
    *((np.asarray, dtype) for dtype in WIDE), (torch.as_tensor, np.int32), (torch.as_tensor, np.int64),
    pytest.param(torch.as_tensor, np.uint16, marks=UINT16)])
def test_hidden_labels_and_their_truth(kind, dtype):
    labels = kind(np.array(LABELS, dtype))
    before = labels.tolist()
    hidden, truth = is_hidden(labels), hidden_truth(labels)
    assert hidden.tolist() == [[False] * 4, [True] * 4]
    assert truth.tolist() == [[-1] * 4, [0, 19, 254, -1]]
    assert type(hidden) is type(truth) is type(labels) and labels.tolist() == before
    assert str(hidden.dtype).endswith('bool') and str(truth.dtype).endswith('int64')


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_ignored_labels_of_wide_masks_are_not_hidden(kind):
    labels = kind(np.array([-1, 847, 2**16 - 1, 2**31 - 1], np.int32))
    assert not is_hidden(labels).any() and (hidden_truth(labels) == -1).all()


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_no_label_of_8_bits_is_hidden(kind):
    labels = kind(np.arange(256, dtype=np.uint8))
    assert not is_hidden(labels).any() and (hidden_truth(labels) == -1).all()

"""Refined logits in chunks of classes against the maps of all classes at once."""
import pytest
import torch
from torch.nn import functional as F

from mmseg_mvp.models.modules.pamr import PAMR
from mmseg_mvp.models.utils import refined_logits
from mmseg_mvp.models.utils.refined_logits import RefinedLogits
from mmseg_mvp.models.utils.tiled_resize import resize_matrices


@pytest.fixture(params=[1, 2 * 21 * 18, 2**30])
def case(request, monkeypatch):
    """Logits of 7 classes whose chunks hold one class, two, or all; and all their refined maps."""
    monkeypatch.setitem(refined_logits.CHUNK_VALUES, 'cpu', request.param)
    torch.manual_seed(0)
    logits, image, pamr = 4 * torch.randn(7, 5, 6).double(), torch.rand(3, 21, 18).double(), PAMR(3, (1, 4))
    full = F.interpolate(logits[None], size=(21, 18), mode='bilinear')[0]
    rows, columns = resize_matrices(logits, (21, 18), False)
    low = RefinedLogits(logits=logits, rows=rows, columns=columns, image=image, metainfo=dict(refinement=pamr))
    return low, pamr(full, pamr.weights(image))


def test_logits_and_labels(case):
    low, full = case
    assert torch.allclose(low.resize(), full, atol=1e-12)
    labels = low.label_map()
    assert labels.dtype == torch.int64 and torch.equal(labels, full.argmax(dim=0))


def test_probabilities(case):
    low, full = case
    expected = full.exp() / full.exp().sum(dim=0)
    for index in range(7):
        assert torch.allclose(low.probability_map(index), expected[index], atol=1e-12)
    assert torch.allclose(low.cpu().probability_map(), expected.amax(dim=0), atol=1e-12)


def test_the_first_of_equal_classes_wins(case):
    low, _ = case
    low.logits = low.logits[:1].expand(7, -1, -1)
    assert not low.label_map().any()


def test_under_autocast_nothing_is_rounded(case):
    low, full = case
    low = RefinedLogits(**{key: value.float() for key, value in low.items()}, metainfo=dict(refinement=low.refinement))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert torch.allclose(low.resize(), full.float(), atol=1e-4)

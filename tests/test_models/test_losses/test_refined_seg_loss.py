"""The loss in tiles against the printed formula, resize and cross-entropy, mmseg's own loss and finite differences."""

import numpy as np
import pytest
import torch
from fixtures.equations import check_same, randn
from fixtures.lanes import WEIGHTED_CROSS_ENTROPY
from fixtures.payloads import write_pickle
from mmseg.models.losses import CrossEntropyLoss
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import RefinedSegLoss
from mmseg_mvp.models.losses import tiled_cross_entropy as module
from mmseg_mvp.models.losses.refined_seg_loss import label_histogram
from mmseg_mvp.models.utils import tiled_resize


@pytest.fixture(params=['classes first', 'classes last'])
def several_tiles(request, monkeypatch):
    """Few values a tile, in either memory order."""
    monkeypatch.setattr(module, 'CLASSES_LAST', 1 if request.param == 'classes last' else 1000)
    monkeypatch.setitem(tiled_resize.TILE_VALUES, 'cpu', 60)


def batch(size=(11, 13), classes=4, dtype=torch.float64):
    """Logits, labels with ignored rows and one image that is all ignored."""
    logits = (2 * torch.randn(3, classes, 4, 5, dtype=dtype)).requires_grad_()
    label = torch.randint(0, classes, (3, *size))
    label[0, :4] = label[2] = 255
    return logits, label


def written(logits, label, g, weight, align_corners):
    """Resize, softmax, times g, log at the label: the weighted sum over pixels, as the paper prints it."""
    m = F.interpolate(logits, size=label.shape[1:], mode='bilinear', align_corners=align_corners).softmax(dim=1)
    m = m * g[:, :, None, None]
    picked = m.gather(1, label.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
    return -(weight * picked.log()).sum()


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(11, 13), (16, 20), (4, 5), (3, 2)])
@pytest.mark.parametrize('class_weight', [None, [0.5, 2., 0., 1.]])
def test_is_the_printed_formula_with_its_gradients(several_tiles, size, align_corners, class_weight):
    logits, label = batch(size)
    raw = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    loss = RefinedSegLoss(class_weight)(logits, label, log_presence=F.logsigmoid(raw), align_corners=align_corners)
    weight = (torch.tensor(class_weight or [1.] * 4).double()[label.clamp(max=3)]) * (label != 255)
    expected = written(logits, label, raw.sigmoid(), weight, align_corners) / weight.sum()
    assert torch.allclose(loss, expected, rtol=1e-12)
    for ours, naive in zip(torch.autograd.grad(loss, [logits, raw]), torch.autograd.grad(expected, [logits, raw])):
        assert torch.allclose(ours, naive, rtol=1e-9, atol=1e-13) and naive.abs().sum() > 0


@pytest.mark.parametrize('align_corners', [False, True])
def test_gradcheck(several_tiles, align_corners):
    logits, label = batch((7, 9))
    weight = torch.rand(3, 7, 9, dtype=torch.float64) * (label != 255)
    assert torch.autograd.gradcheck(
        lambda x: module.tiled_cross_entropy(x, label, weight, align_corners), logits)


@pytest.mark.parametrize('classes', [5, 150])
def test_float32_at_the_usual_budget(classes):
    logits = (3 * torch.randn(2, classes, 8, 9)).requires_grad_()
    label = torch.randint(0, classes, (2, 120, 144))
    label[0, :60] = 255
    loss = RefinedSegLoss()(logits, label)
    resized = F.interpolate(logits, size=(120, 144), mode='bilinear')
    expected = F.cross_entropy(resized, label, ignore_index=255)
    ours, naive = (torch.autograd.grad(one, logits)[0] for one in (loss, expected))
    assert torch.allclose(loss, expected, rtol=1e-5)
    assert (ours - naive).norm() < 1e-5 * naive.norm()


def test_far_apart_logits_stay_finite(several_tiles):
    logits, label = batch(dtype=torch.float32)
    logits = (1000 * logits.detach()).requires_grad_()
    loss = RefinedSegLoss()(logits, label)
    expected = F.cross_entropy(F.interpolate(logits, size=(11, 13), mode='bilinear'), label, ignore_index=255)
    assert torch.allclose(loss, expected, rtol=1e-4) and torch.autograd.grad(loss, logits)[0].isfinite().all()


@pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')
@pytest.mark.parametrize('settings', [
    dict(avg_non_ignore=True), dict(avg_non_ignore=False),
    pytest.param(dict(class_weight=[0.2, 3., 1., 0.], avg_non_ignore=False), marks=WEIGHTED_CROSS_ENTROPY),
    dict(avg_non_ignore=True, loss_weight=0.3)])
@pytest.mark.parametrize('pixel_weights', [False, True])
def test_means_are_those_of_mmseg(settings, pixel_weights):
    logits, label = batch()
    weight = torch.rand(label.shape) if pixel_weights else None
    resized = F.interpolate(logits, size=label.shape[1:], mode='bilinear')
    expected = CrossEntropyLoss(**settings)(resized, label, weight=weight, ignore_index=255)
    assert torch.allclose(RefinedSegLoss(**settings)(logits, label, weight=weight, ignore_index=255), expected)
    assert torch.allclose(RefinedSegLoss(**settings)(resized, label, weight=weight, ignore_index=255), expected)


def test_pixel_weights_reach_the_presence_term():
    logits, label = batch()
    g, weight = torch.rand(3, 4, dtype=torch.float64), torch.rand(label.shape).double()
    loss = RefinedSegLoss([1., 2., 3., 4.])(logits, label, weight, log_presence=g.log())
    class_weight = (label.clamp(max=3) + 1.) * (label != 255)
    assert torch.allclose(loss, written(logits, label, g, weight * class_weight, False) / class_weight.sum())


def test_an_unlabelled_batch_costs_nothing_and_makes_no_nan(monkeypatch):
    monkeypatch.setattr(module, 'resize_maps', None)  # no tile may be evaluated
    logits, label = batch()
    loss = RefinedSegLoss([1., 2., 3., 4.])(logits, torch.full_like(label, 255))
    assert loss == 0 and (torch.autograd.grad(loss, logits)[0] == 0).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_under_autocast_too(several_tiles, dtype):
    logits, label = batch(dtype=torch.float32)
    half = logits.detach().to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = RefinedSegLoss()(half, label)
        gradient, = torch.autograd.grad(loss, half)
    exact = half.detach().float().requires_grad_()
    expected, = torch.autograd.grad(RefinedSegLoss()(exact, label), exact)
    assert loss.dtype == torch.float32 and torch.allclose(loss, RefinedSegLoss()(exact, label))
    assert gradient.dtype == dtype and torch.equal(gradient, expected.to(dtype))


def test_without_gradients_none_is_formed(several_tiles, monkeypatch):
    logits, label = batch()
    expected = RefinedSegLoss()(logits, label).item()
    shapes = []
    resize = tiled_resize.resize_maps
    monkeypatch.setattr(module, 'resize_maps', lambda *args: shapes.append(args[0].shape) or resize(*args))
    with torch.no_grad():
        assert abs(RefinedSegLoss()(logits, label).item() - expected) < 1e-12
    forward = len(shapes)
    RefinedSegLoss()(logits.detach(), label)
    assert len(shapes) == 2 * forward
    RefinedSegLoss()(logits, label)
    assert len(shapes) == 4 * forward  # each tile there and back


def test_histogram_counts_pixels_or_their_weights():
    _, label = batch()
    weight = torch.rand(label.shape).double()
    for given in (None, weight):
        each = torch.ones_like(weight) if given is None else weight
        expected = torch.stack([torch.stack([(one_weight * (one == c)).sum() for c in range(4)])
                                for one, one_weight in zip(label, each)])
        assert torch.allclose(label_histogram(label, 4, 255, given).double(), expected)


class TestBadInput:

    def test_class_weights_in_a_pickle_are_not_read(self, tmp_path):
        proof = write_pickle(tmp_path / 'weights.pkl')
        with pytest.raises(UserError, match='weights.pkl.*must end in .npy or .json'):
            RefinedSegLoss(str(tmp_path / 'weights.pkl'))
        assert not proof.exists()

    @pytest.mark.parametrize('name, write', [('w.json', lambda path: path.write_text('[1, 2.5]')),
                                             ('w.npy', lambda path: np.save(path, [1, 2.5]))])
    def test_class_weights_in_a_file(self, tmp_path, name, write):
        write(tmp_path / name)
        assert list(RefinedSegLoss(str(tmp_path / name)).class_weight) == [1, 2.5]

    def test_class_weights_of_another_length(self):
        with pytest.raises(UserError, match='class_weight has 3 entries, but the logits have 4 classes'):
            RefinedSegLoss([1., 1., 1.])(*batch())

    @pytest.mark.parametrize('value', [4, -1, 254])
    def test_a_label_that_is_no_class(self, value):
        logits, label = batch()
        label[1, 2, 3] = value
        with pytest.raises(UserError, match=f'hold {value}, but there are 4 classes'):
            RefinedSegLoss()(logits, label)

    def test_shapes(self):
        logits, label = batch()
        with pytest.raises(UserError, match=r'labels \(3, 1, 11, 13\), but expects'):
            RefinedSegLoss()(logits, label[:, None])
        with pytest.raises(UserError, match='the same B'):
            RefinedSegLoss()(logits[:2], label)
        with pytest.raises(UserError, match=r'pixel weights \(3,\)'):
            RefinedSegLoss()(logits, label, torch.ones(3))


def naive_refined_loss(logits, label, g):
    """Eq. 5 as printed, m = softmax(logits) * g at every pixel, averaged over labelled pixels."""
    logits = F.interpolate(logits, size=label.shape[1:], mode='bilinear', align_corners=False)
    m = logits.softmax(dim=1) * (1 if g is None else g[:, :, None, None])
    total, count = logits.sum() * 0, 0
    for b, y, x in (label != 255).nonzero().tolist():
        total = total - m[b, label[b, y, x], y, x].log()
        count += 1
    return total / max(count, 1)


@pytest.fixture
def label():
    label = torch.randint(0, 3, (2, 6, 8))
    label[0, :2] = 255
    label[1, :, 3] = 255
    return label


def test_refined_seg_loss(label):
    check_same(lambda logits, raw: RefinedSegLoss()(logits, label, log_presence=F.logsigmoid(raw)),
          lambda logits, raw: naive_refined_loss(logits, label, raw.sigmoid()), randn(2, 3, 3, 4), randn(2, 3))


def test_refined_seg_loss_without_presence_is_cross_entropy(label):
    check_same(lambda logits: RefinedSegLoss(loss_weight=2.)(logits, label),
          lambda logits: 2 * naive_refined_loss(logits, label, None), randn(2, 3, 3, 4))


def test_refined_seg_loss_of_an_unlabelled_batch_is_zero_not_nan():
    logits = randn(1, 3, 2, 2)
    loss = RefinedSegLoss()(logits, torch.full((1, 4, 4), 255), log_presence=F.logsigmoid(randn(1, 3)))
    assert loss == 0 and torch.isfinite(torch.autograd.grad(loss, logits)[0]).all()


def test_label_histogram(label):
    expected = torch.tensor([[(one == c).sum() for c in range(3)] for one in label])
    assert torch.equal(label_histogram(label, 3), expected)


@pytest.mark.parametrize('ignored', [65535, 847, -1, 2**31 - 1])
def test_many_classes_with_any_ignored_value(ignored):
    torch.manual_seed(0)
    logits = torch.randn(2, 300, 6, 6, requires_grad=True)
    labels = torch.randint(0, 300, (2, 6, 6))
    labels[:, 0], labels[0, 1, 1] = ignored, 255  # 255 is a class
    loss = RefinedSegLoss()(logits, labels, ignore_index=ignored)
    chosen = labels != ignored
    expected = -logits.log_softmax(1).movedim(1, -1)[chosen].gather(1, labels[chosen][:, None]).mean()
    assert torch.allclose(loss, expected, atol=1e-5)
    loss.backward()
    assert not logits.grad[:, :, 0].any() and logits.grad[:, :, 1:].any()

"""Label maps in tiles against mmseg's own chain of resizes and its argmax."""
import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder, SegTTAModel
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import LowResSegTTAModel
from mmseg_mvp.models.utils import tiled_resize
from mmseg_mvp.models.utils.label_map import image_matrices, label_map
from mmseg_mvp.models.utils.low_res_logits import LogitsNotKept, LowResLogits

METAS = [
    dict(ori_shape=(60, 76)),
    dict(ori_shape=(37, 101)),
    dict(ori_shape=(90, 50), img_padding_size=[2, 3, 4, 5]),
    dict(ori_shape=(60, 76), flip=True, flip_direction='horizontal'),
    dict(ori_shape=(45, 45), padding_size=[0, 6, 0, 8], flip=True, flip_direction='vertical'),
    dict(ori_shape=(60, 76), flip=False, flip_direction=None),
]


def smooth_or_random(smooth, count=1, classes=9):
    logits = torch.randn(count, classes, 8, 10)
    return 5 * F.avg_pool2d(logits, 3, 1, 1) if smooth else 5 * logits


def mmseg_samples(logits, meta, align_corners):
    """What mmseg makes of low-resolution logits: resized to 64 x 80, cut to the 60 x 76 input, post-processed."""
    full = F.interpolate(logits, size=(64, 80), mode='bilinear', align_corners=align_corners)[..., :60, :76]
    host = nn.Module()
    host.align_corners = align_corners
    samples = None if meta is None else [SegDataSample(metainfo=meta) for _ in logits]
    return EncoderDecoder.postprocess_result(host, full, samples)


@pytest.fixture
def several_tiles(monkeypatch):
    monkeypatch.setitem(tiled_resize.TILE_VALUES, 'cpu', 3000)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('smooth', [False, True])
@pytest.mark.parametrize('meta', [None, *METAS], ids=str)
def test_label_map_and_logits_are_mmsegs(several_tiles, meta, smooth, align_corners):
    logits = smooth_or_random(smooth)
    expected, = mmseg_samples(logits, meta, align_corners)
    matrices = image_matrices(logits[0], (64, 80), (60, 76), meta or {}, align_corners)
    full = LowResLogits(logits=logits[0], rows=matrices[0], columns=matrices[1]).resize()
    assert torch.allclose(full, expected.seg_logits.data, atol=1e-4)
    found = label_map(logits[0], *matrices)
    assert found.dtype == torch.int64 and found.shape == expected.pred_sem_seg.data.shape[1:]
    wins = expected.seg_logits.data.gather(0, found[None])[0]
    assert (wins >= expected.seg_logits.data.amax(dim=0) - 1e-4).all()  # a different class only where classes tie
    assert (found != expected.pred_sem_seg.data[0]).float().mean() < 1e-3


@pytest.mark.parametrize('smooth', [False, True])
@pytest.mark.parametrize('classes', [99, 100, 300])
def test_many_classes_whose_highest_numpy_finds(several_tiles, smooth, classes):
    logits, = smooth_or_random(smooth, classes=classes).double()
    rows, columns = tiled_resize.resize_matrices(logits, (37, 53), False)
    full = F.interpolate(logits[None], size=(37, 53), mode='bilinear')[0]
    assert torch.equal(label_map(logits, rows, columns), full.argmax(dim=0))


def test_a_diagonal_flip_is_both_flips():
    logits = smooth_or_random(False)
    meta = dict(ori_shape=(60, 76), flip=True)
    matrices = image_matrices(logits[0], (64, 80), (60, 76), dict(meta, flip_direction='diagonal'), False)
    plain = image_matrices(logits[0], (64, 80), (60, 76), {}, False)
    assert torch.equal(label_map(logits[0], *matrices), label_map(logits[0], *plain).flip(0, 1))


def test_half_precision_is_resized_in_float32(several_tiles):
    logits = smooth_or_random(True)[0].bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = label_map(logits, *image_matrices(logits, (64, 80), (60, 76), {}, False))
    exact = logits.float()
    assert torch.equal(found, label_map(exact, *image_matrices(exact, (64, 80), (60, 76), {}, False)))


@pytest.mark.parametrize('views', [1, 2, 5])
def test_tta_is_mmsegs(several_tiles, views):
    """Views of different sizes and flips, two images."""
    ours, theirs = [], []
    for image in range(2):
        ours.append([])
        theirs.append([])
        for index in range(views):
            meta = dict(ori_shape=(50, 66), img_path='x.jpg', flip=index % 2 == 1, flip_direction='horizontal')
            logits = torch.randn(9, 8 + index, 10 + index)
            size = [8 * side for side in logits.shape[1:]]
            rows, columns = image_matrices(logits, size, size, meta, False)
            sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=torch.full((1, 50, 66), image)))
            low_res = LowResLogits(logits=logits, rows=rows, columns=columns)
            sample.set_data(dict(low_res_logits=low_res, seg_logits=PixelData(data=low_res.resize())))
            theirs[-1].append(sample)
            ours[-1].append(copy.deepcopy(sample))
    module = nn.Module()
    module.test_step, module.out_channels = None, 9
    merged = LowResSegTTAModel(module).merge_preds(ours)
    for found, expected in zip(merged, SegTTAModel(module).merge_preds(theirs)):
        assert found.pred_sem_seg.shape == expected.pred_sem_seg.shape
        assert (found.pred_sem_seg.data != expected.pred_sem_seg.data).float().mean() < 1e-3
        assert torch.equal(found.gt_sem_seg.data, expected.gt_sem_seg.data) and found.img_path == 'x.jpg'


def test_logits_that_were_not_kept_say_how_to_have_them():
    sample = SegDataSample(seg_logits=LogitsNotKept())
    for one in (sample, sample.cpu()):
        with pytest.raises(UserError, match='test_cfg.keep_logits=True.*LowResSegTTAModel'):
            one.seg_logits.data
    assert sample.to_dict()['seg_logits'] == {}

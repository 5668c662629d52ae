"""Windows that are averaged in pixels, against a loop over windows, and mmseg's own sliding inference."""
import pytest
import torch
from mmseg.models.segmentors import EncoderDecoder
from torch.nn import functional as F

from mmseg_mvp.models.utils.pixel_windows import window_matrix, window_starts


@pytest.mark.parametrize('length, crop, step, expected', [
    (336, 224, 112, [0, 112]), (337, 224, 112, [0, 112, 113]), (224, 224, 112, [0]), (100, 224, 112, [0]),
    (30, 10, 10, [0, 10, 20]), (31, 10, 10, [0, 10, 20, 21]), (11, 10, 3, [0, 1])])
def test_starts_are_mmsegs(length, crop, step, expected):
    assert window_starts(length, crop, step) == expected
    covered = {pixel for start in expected for pixel in range(start, min(start + crop, length))}
    assert covered == {*range(length)}


@pytest.mark.parametrize('size, crop, step, stride, align_corners', [
    ((48, 64), (32, 32), (16, 16), 8, False), ((45, 70), (30, 20), (13, 20), 8, False),
    ((20, 90), (32, 32), (16, 16), 16, False), ((41, 33), (17, 33), (5, 33), 4, True)])
def test_is_mmsegs_slide_inference(size, crop, step, stride, align_corners):
    """The segmentor of mmseg gives each window a map of its own, which depends on its pixels."""
    torch.manual_seed(0)
    image, kernel = torch.randn(1, 3, *size), torch.randn(5, 3, stride, stride)

    def maps_of(window):
        pads = (0, -window.shape[3] % stride, 0, -window.shape[2] % stride)
        return F.conv2d(F.pad(window, pads), kernel, stride=stride)

    class Segmentor(EncoderDecoder):
        out_channels, align_corners = 5, False

        def __init__(self):
            torch.nn.Module.__init__(self)
            self.test_cfg = type('cfg', (), dict(crop_size=crop, stride=step))

        def encode_decode(self, window, metas):
            maps = maps_of(window)
            full = [side * stride for side in maps.shape[2:]]
            maps = F.interpolate(maps, size=full, mode='bilinear', align_corners=align_corners)
            return maps[..., :window.shape[2], :window.shape[3]]

    expected = Segmentor().slide_inference(image, [dict(img_shape=size)])[0]
    spans = [[slice(start, start + side) for start in window_starts(length, side, one)]
             for length, side, one in zip(size, crop, step)]
    side_by_side = torch.cat([torch.cat([maps_of(image[..., y, x]) for x in spans[1]], dim=-1) for y in spans[0]], -2)
    rows, columns = (window_matrix(length, side, one, stride, align_corners, image)
                     for length, side, one in zip(size, crop, step))
    assert torch.allclose(rows @ side_by_side[0] @ columns.T, expected, atol=1e-4)
    assert torch.allclose(rows.sum(dim=1), torch.ones(size[0]), atol=1e-5)

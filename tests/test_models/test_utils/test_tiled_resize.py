"""Resizing by matrix products, in tiles, against torch's own."""
import pytest
import torch
from torch.nn import functional as F

from mmseg_mvp.models.utils import tiled_resize
from mmseg_mvp.models.utils.tiled_resize import resize_maps, resize_matrices, resize_matrix, tiles


@pytest.fixture(params=['classes first', 'classes last'])
def maps(request):
    maps = torch.randn(5, 6, 7, dtype=torch.float64)
    return maps if request.param == 'classes first' else maps.permute(1, 2, 0).contiguous().permute(2, 0, 1)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('size', [(24, 28), (17, 33), (6, 7), (3, 4), (1, 50)])
def test_two_matrix_products_are_the_resize_and_its_gradient(maps, size, align_corners):
    matrices = resize_matrices(maps, size, align_corners)
    leaf = maps.clone().requires_grad_()
    expected = F.interpolate(leaf[None], size=size, mode='bilinear', align_corners=align_corners)[0]
    assert torch.allclose(resize_maps(maps, *matrices), expected, rtol=1e-12)
    gradient = torch.randn_like(expected)
    adjoint = resize_maps(gradient, *(matrix.T for matrix in matrices))
    assert torch.allclose(adjoint, torch.autograd.grad(expected, leaf, gradient)[0], rtol=1e-12)


def test_matrices_are_as_precise_as_the_logits_and_at_least_float32():
    for dtype, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        assert resize_matrices(torch.zeros(2, 3, 3, dtype=dtype), (5, 5), False)[0].dtype == expected


def test_matrices_cached_in_inference_mode_serve_training():
    resize_matrix.cache_clear()
    with torch.inference_mode():
        resize_matrices(torch.zeros(2, 3, 3), (5, 5), False)
    maps = torch.randn(2, 3, 3, requires_grad=True)
    resize_maps(maps, *resize_matrices(maps, (5, 5), False)).sum().backward()
    assert torch.allclose(maps.grad.sum(), torch.tensor(50.))


@pytest.mark.parametrize('budget', [1, 40, 300, 10**6])
@pytest.mark.parametrize('align_corners', [False, True])
def test_tiles_cover_the_map_once_within_the_budget(maps, budget, align_corners, monkeypatch):
    monkeypatch.setitem(tiled_resize.TILE_VALUES, 'cpu', budget)
    matrices = resize_matrices(maps, (19, 31), align_corners)
    found = torch.zeros(5, 19, 31, dtype=torch.float64)
    count = torch.zeros(19, 31)
    for tile in tiles(*matrices, 5):
        part = resize_maps(maps[(slice(None), *tile.source)], tile.rows, tile.columns)
        assert part.numel() <= max(budget, 5)
        found[(slice(None), *tile.target)] = part
        count[tile.target] += 1
    assert (count == 1).all()
    expected = F.interpolate(maps[None], size=(19, 31), mode='bilinear', align_corners=align_corners)[0]
    assert torch.allclose(found, expected, rtol=1e-12)


def test_a_tile_reads_only_what_it_depends_on(monkeypatch):
    monkeypatch.setitem(tiled_resize.TILE_VALUES, 'cpu', 16 * 16)
    matrices = resize_matrices(torch.zeros(1, 32, 32), (512, 512), False)
    assert max(part.stop - part.start for tile in tiles(*matrices, 1) for part in tile.source) == 3

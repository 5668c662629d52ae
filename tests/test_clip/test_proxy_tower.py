"""The attention of a proxy over CLIP's values, against its formula with all N x N scores in float64."""
import copy

import pytest
import timm
import torch
from fixtures.naive_attention import Shapes, idle_and_listed, relative
from fixtures.proxies import DINO, DINOV2
from fixtures.timm_builders import small_tower
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transformer import VisionTransformer
from torch import nn
from torch.nn import functional as F

from mmseg_mvp.clip import Frozen, fold_batch_norm, proxy_tower
from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.proxy import Proxy, ProxyVariant
from mmseg_mvp.clip.proxy_tower import ProxyTower, attend_by_similarity

# Powers of 2, so that float32 holds their quotients. Of CLIP's images, then of the proxy's.
MEAN, STD, OWN_MEAN, OWN_STD = (0.5, 0.25, 0.5), (0.25, 0.5, 0.25), (0.25, 0.25, 0.75), (0.5, 0.25, 0.5)
SIZES = [(64, 64), (160, 224), (16, 112)]  # a square, the axes told apart, one row of CLIP's patches
MODELS = {'dino': (DINO, {}), 'dino16': (DINO, dict(patch_size=16)), 'dinov2': (DINOV2, {})}


def fill(module):
    """Fill all parameters, so that no bias is 0 and attention is no mean."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if not name.endswith(('bn1.weight', 'bn2.weight', 'bn3.weight')):
            nn.init.normal_(parameter, std=0.3)
    return module.double().eval().requires_grad_(False)


@pytest.fixture(scope='module')
def vit():
    return fill(VisionTransformer(image_size=64, patch_size=16, width=32, layers=2, heads=2, mlp_ratio=2.,
                                  output_dim=24, ls_init_value=0.7))


@pytest.fixture(scope='module')
def resnet():
    visual = ModifiedResNet(layers=[1, 1, 1, 1], output_dim=24, heads=4, image_size=64, width=8)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        nn.init.ones_(layer[0].bn3.weight)  # 0 at the start
    return fill(visual)


@pytest.fixture(scope='module')
def proxies():
    found = {}
    for key, (name, settings) in MODELS.items():
        found[key] = fill(timm.create_model(name, num_classes=0, dynamic_img_size=True, **settings))
        found[key].pretrained_cfg = dict(mean=OWN_MEAN, std=OWN_STD)
    return found


def tower_of(visual, model, **settings):
    tower = ProxyTower(dense_tower(visual, 'value'), Proxy(model, MEAN, STD), ProxyVariant(**settings))
    return tower.double()


def lerp(cells, factor):
    """Matrix (cells * factor, cells) of a bilinear resize with half-pixel centres."""
    matrix = torch.zeros(cells * factor, cells, dtype=torch.float64)
    for row in range(cells * factor):
        place = min(max((row + 0.5) / factor - 0.5, 0), cells - 1)
        first = int(place)
        matrix[row, first] += 1 - (place - first)
        matrix[row, min(first + 1, cells - 1)] += place - first
    return matrix


def naive_tokens(model, image, rows, columns):
    """Patch tokens (N, C) of a timm ViT: its blocks, with positions and tokens put together here."""
    mean, std, own_mean, own_std = (torch.tensor(values, dtype=torch.float64)[:, None, None]
                                    for values in (MEAN, STD, OWN_MEAN, OWN_STD))
    image, patch = (image * std + mean - own_mean) / own_std, model.patch_embed.patch_size[0]
    if image.shape[1:] != (rows * patch, columns * patch):
        image = F.interpolate(image[None], size=(rows * patch, columns * patch), mode='bicubic', antialias=True)[0]
    x = F.conv2d(image[None], model.patch_embed.proj.weight, model.patch_embed.proj.bias, stride=patch)
    assert x.shape[2:] == (rows, columns)
    side, own = model.patch_embed.grid_size[0], model.reg_token is None  # with registers, positions are of patches only
    table = model.pos_embed[0, own:].float().T.reshape(1, -1, side, side)
    if (rows, columns) != (side, side):
        table = F.interpolate(table, size=(rows, columns), mode='bicubic', antialias=True)
    x = (x + table).flatten(2).transpose(1, 2)
    first = [model.cls_token + model.pos_embed[:, :1]] if own else [model.cls_token, model.reg_token]
    x = torch.cat([*first, x], dim=1)
    for block in model.blocks:
        x = block(x)
    return model.norm(x)[0, sum(one.shape[1] for one in first):]


def naive_weights(tokens, threshold=1.2, sharpness=3.):
    """W (N, N) with every cosine held."""
    unit = tokens / tokens.norm(dim=1, keepdim=True)
    scores = unit @ unit.T
    scores = (scores - threshold * scores.mean()) * sharpness
    assert 0.02 < (scores < 0).double().mean() < 0.98  # the omission matters
    return scores.masked_fill(scores < 0, float('-inf')).softmax(1)


def naive_mix(value, model, image, stride, factor, **settings):
    """W v, (D, h, w), of the values (rows, columns, D) of an image, whose grid is coarser by a factor."""
    rows, columns = grid = [side // stride for side in image.shape[1:]]
    value = torch.einsum('ir,jc,rcd->ijd', lerp(value.shape[0], factor), lerp(value.shape[1], factor), value)
    weights = naive_weights(naive_tokens(model, image, *grid), **settings)
    return (weights @ value[:rows, :columns].flatten(0, 1)).unflatten(0, grid)


def padded(image, stride):
    return F.pad(image, (0, -image.shape[2] % stride, 0, -image.shape[1] % stride))[None]


def naive_vit(visual, model, image, stride, **settings):
    """Dense features (D, h, w) of one image."""
    x = visual.conv1(padded(image, 16))
    grid = x.shape[2:]
    x = torch.cat([visual.class_embedding.expand(1, 1, -1), x.flatten(2).transpose(1, 2)], 1)
    x = visual.ln_pre(x + dense_tower(visual, 'value')._positions(grid))
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    value = last.ln_1(x)[0, 1:] @ last.attn.in_proj_weight[64:].T + last.attn.in_proj_bias[64:]  # (h*w, width)
    heads = [naive_mix(part.unflatten(0, grid), model, image, stride, 16 // stride, **settings)
             for part in value.chunk(2, dim=1)]
    y = last.ls_1(last.attn.out_proj(torch.cat(heads, dim=2)))
    return (visual.ln_post(y) @ visual.proj).permute(2, 0, 1)


def naive_pool(visual, model, image, stride):
    x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(padded(image, 32))))))[0]  # (C, h, w)
    value = visual.attnpool.v_proj(x.permute(1, 2, 0))
    return visual.attnpool.c_proj(naive_mix(value, model, image, stride, 32 // stride)).permute(2, 0, 1)


def naive_timm(visual, model, image, stride):
    """Dense features (D, h, w) of a tower of timm that was built for images of any size."""
    trunk, seen, last = visual.trunk, {}, visual.trunk.blocks[-1]
    handle = last.register_forward_pre_hook(lambda module, args: seen.update(x=args[0]))
    tokens = trunk.forward_features(padded(image, 16))
    handle.remove()
    pool, before, grid = trunk.attn_pool, trunk.num_prefix_tokens, [-(-side // 16) for side in image.shape[1:]]
    value = pool.kv(tokens).chunk(2, dim=2)[1] if pool else last.attn.v_proj(last.norm1(seen['x']))
    mixed = naive_mix(value[0, before:].unflatten(0, grid), model, image, stride, 16 // stride)
    if pool:
        y = pool.proj(mixed)
        y = y + pool.mlp(pool.norm(y))
    else:
        y = trunk.fc_norm(trunk.norm(last.attn.proj(last.attn.norm(mixed))))
    return visual.head(trunk.head(y)).permute(2, 0, 1)


class TestViTs:

    @pytest.mark.parametrize('size', SIZES, ids=str)
    @pytest.mark.parametrize('name, stride', [('dino', 8), ('dino16', 16), ('dinov2', 16)])
    def test_equal_the_naive_form_in_float64(self, vit, proxies, name, stride, size):
        tower, images = tower_of(vit, proxies[name]), torch.randn(2, 3, *size, dtype=torch.float64)
        found, = tower(images)
        assert tower.stride == stride and found.shape == (2, 24, size[0] // stride, size[1] // stride)
        expected = torch.stack([naive_vit(vit, proxies[name], image, stride) for image in images])
        assert relative(found, expected) < 1e-10

    @pytest.mark.parametrize('size', [(8, 8), (8, 72), (40, 24)], ids=str)
    def test_grids_that_end_inside_a_patch_of_clip(self, vit, proxies, size):
        images = torch.randn(1, 3, *size, dtype=torch.float64)
        found, = tower_of(vit, proxies['dino'], threshold=0.9)(images)
        assert found.shape == (1, 24, size[0] // 8, size[1] // 8)
        if size != (8, 8):  # whose single patch has only itself
            assert relative(found[0], naive_vit(vit, proxies['dino'], images[0], 8, threshold=0.9)) < 1e-10

    def test_threshold_and_sharpness_are_those_of_the_variant(self, vit, proxies):
        settings, image = dict(threshold=0.8, sharpness=5.), torch.randn(3, 48, 64, dtype=torch.float64)
        found, = tower_of(vit, proxies['dino'], **settings)(image[None])
        assert relative(found[0], naive_vit(vit, proxies['dino'], image, 8, **settings)) < 1e-10

    def test_outputs_of_blocks_are_those_of_clip(self, vit, proxies):
        images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
        expected = dense_tower(vit, 'value')(images, (0, 1))[:-1]
        found = tower_of(vit, proxies['dino'])(images, (0, 1))[:-1]
        assert len(found) == 2 and all(relative(one, other) < 1e-12 for one, other in zip(found, expected))

    def test_idle_parameters_are_those_without_a_gradient_and_none_is_the_proxys(self, vit, proxies):
        tower = tower_of(vit, proxies['dino'])
        idle, listed = idle_and_listed(tower, 64, 96)
        assert idle == listed and {name.split('.')[-2] for name in idle} <= {'ln_2', 'c_fc', 'c_proj', 'ls_2'}
        assert all(not name.startswith('proxy') for name, _ in tower.named_parameters())
        assert not any(parameter.requires_grad for parameter in tower.proxy.module.parameters())


class TestAttentionPools:

    @pytest.mark.parametrize('size', [(64, 64), (160, 224), (32, 224)], ids=str)
    @pytest.mark.parametrize('name, stride', [('dino', 8), ('dino16', 16), ('dinov2', 16)])
    def test_equal_the_naive_form_in_float64(self, resnet, proxies, name, stride, size):
        tower, images = tower_of(resnet, proxies[name]), torch.randn(2, 3, *size, dtype=torch.float64)
        found, = tower(images)
        assert tower.stride == stride and found.shape == (2, 24, size[0] // stride, size[1] // stride)
        expected = torch.stack([naive_pool(resnet, proxies[name], image, stride) for image in images])
        assert relative(found, expected) < 1e-10

    @torch.no_grad()
    def test_folding_keeps_the_features_and_the_proxy(self, resnet, proxies):
        tower, images = tower_of(resnet, proxies['dino']), torch.randn(1, 3, 64, 96, dtype=torch.float64)
        folded = fold_batch_norm(tower)
        assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
        assert folded.proxy.module is tower.proxy.module
        assert relative(folded(images)[0], tower(images)[0]) < 1e-10


class TestTowersOfTimm:

    @pytest.mark.parametrize('size', [(160, 224), (24, 72)], ids=str)
    @pytest.mark.parametrize('name', ['EVA02-B-16', 'ViT-B-16-SigLIP', 'PE-Core-B-16'])
    def test_equal_the_naive_form_in_float64(self, proxies, name, size):
        tower, theirs = tower_of(small_tower(name), proxies['dino']), small_tower(name, dynamic_img_size=True)
        images = torch.randn(2, 3, *size, dtype=torch.float64)
        found, = tower(images)
        assert tower.stride == 8 and found.shape == (2, tower.embed_dim, size[0] // 8, size[1] // 8)
        expected = torch.stack([naive_timm(theirs, proxies['dino'], image, 8) for image in images])
        assert relative(found, expected) < 1e-7  # timm keeps the frequencies of rotations in float32

    @pytest.mark.parametrize('name', ['EVA02-B-16', 'PE-Core-B-16'])
    def test_idle_parameters_are_those_without_a_gradient(self, proxies, name):
        idle, listed = idle_and_listed(tower_of(small_tower(name), proxies['dino']), 64, 96)
        assert idle == listed and idle


class TestEachImageAlone:
    """The mean of the similarities is that of an image, never of a batch or of a row of NaN."""

    @pytest.mark.parametrize('name', MODELS)
    def test_a_batch_equals_its_images(self, vit, proxies, name):
        images = torch.randn(3, 3, 48, 80, dtype=torch.float64)
        images[1] *= 0.05  # nearly flat, so its patches are alike and the mean of the batch would be another
        images[2] = torch.linspace(-2, 2, 80)
        tower = tower_of(vit, proxies[name])
        assert relative(tower(images)[0], torch.cat([tower(image[None])[0] for image in images])) < 1e-10

    def test_each_patch_of_a_flat_image_keeps_its_value(self, vit, proxies):
        """All similarities are 1, below 1.2 times their mean: the printed formula divides 0 by 0."""
        flat = copy.deepcopy(proxies['dino16'])
        nn.init.zeros_(flat.pos_embed)  # else patches differ by their place
        images = torch.full((1, 3, 48, 80), 0.5, dtype=torch.float64)
        found, = tower_of(vit, flat)(images)
        assert found.isfinite().all()
        assert relative(found, dense_tower(vit, 'value')(images)[0]) < 1e-10

    def test_a_single_patch_keeps_its_value(self, vit, proxies):
        images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
        found, = tower_of(vit, proxies['dino16'])(images)
        assert found.shape == (2, 24, 1, 1)
        assert relative(found, dense_tower(vit, 'value')(images)[0]) < 1e-10


class TestAttention:

    def test_two_groups_of_patches_read_their_own_group(self):
        features = torch.eye(2)[[0, 1, 1, 0, 0]][None]  # mean similarity 13/25, so 1.2 times it lies between 0 and 1
        values = torch.tensor([[3., 1, 2, 6, 9]]).T[None]
        found = attend_by_similarity(features, values, ProxyVariant())
        assert torch.allclose(found[0, :, 0], torch.tensor([6., 1.5, 1.5, 6, 6]))

    def test_rows_in_parts_equal_all_at_once_and_hold_no_square(self, vit, proxies, monkeypatch):
        tower, images = tower_of(vit, proxies['dino']), torch.randn(2, 3, 64, 96, dtype=torch.float64)
        expected, = tower(images)  # 8 x 12 patches of the proxy
        monkeypatch.setattr(proxy_tower, '_SCORES', 2 * 96 * 10)  # 10 rows at a time, 6 in the last part
        with torch.no_grad(), Shapes() as seen:
            found, = tower(images)
        assert relative(found, expected) < 1e-12
        assert {(2, 10, 96), (2, 6, 96)} <= seen.shapes
        squares = {(96, 96), (97, 97), (25, 25)}  # of W, the proxy and CLIP
        assert not [shape for shape in seen.shapes if shape[-2:] in squares]

    def test_gradients_reach_the_values_alone(self):
        features = torch.nn.functional.normalize(torch.randn(1, 6, 4), dim=-1)
        values = torch.randn(1, 6, 3, requires_grad=True)
        attend_by_similarity(features, values, ProxyVariant()).sum().backward()
        assert values.grad.sum().item() == pytest.approx(18, abs=1e-4)  # rows of weights sum to 1


class TestStride:

    @pytest.mark.parametrize('clip, patch, stride', [(16, 8, 8), (16, 16, 16), (16, 14, 16), (32, 8, 8), (32, 14, 16),
                                                     (14, 14, 14), (14, 8, 7), (14, 16, 14), (8, 14, 8)])
    def test_is_the_divisor_of_clips_stride_nearest_to_the_patch(self, clip, patch, stride):
        tower, proxy = nn.Module(), nn.Module()
        tower.stride, tower.channels, tower.embed_dim, proxy.patch = clip, (), 8, patch
        assert ProxyTower(tower, proxy, ProxyVariant()).stride == stride


class TestFrozen:

    def test_the_proxy_moves_with_its_tower_but_is_no_part_of_it(self, vit, proxies):
        tower = ProxyTower(dense_tower(copy.deepcopy(vit), 'value'), Proxy(copy.deepcopy(proxies['dino']), MEAN, STD),
                           ProxyVariant())
        kept = tower.proxy.module
        tower.train().to(torch.float32)
        moved = tower.proxy.module
        assert {value.dtype for value in moved.state_dict().values()} == {torch.float32}
        assert next(kept.parameters()).dtype == torch.float64 and not moved.training
        assert not any('proxy' in name for name in tower.state_dict())
        assert tower(torch.randn(1, 3, 32, 48))[0].dtype == torch.float32

    def test_a_frozen_clip_moves_its_proxy(self, vit, proxies):
        held = Frozen(tower_of(copy.deepcopy(vit), copy.deepcopy(proxies['dino'])))
        held.float()
        assert next(held.module.proxy.module.parameters()).dtype == torch.float32
        assert held.module.proxy.module.factor.dtype == torch.float32
        assert held(torch.randn(1, 3, 32, 48))[0].dtype == torch.float32

    def test_copies_share_the_proxy(self, vit, proxies):
        tower = tower_of(vit, proxies['dino'])
        assert copy.deepcopy(tower).proxy.module is tower.proxy.module

"""Dense features, compared with the towers of open_clip."""
import copy

import pytest
import torch
from torch import nn

from mmseg_mvp.clip import Frozen, fold_batch_norm, load_clip
from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.clip.image_tower import ResNetTower, ViTTower
from mmseg_mvp.errors import UserError


@pytest.fixture
def resnet(tiny_rn):
    """A ResNet tower with non-zero BatchNorms; open_clip initialises the last one of each block to zero."""
    visual = copy.deepcopy(load_clip(**tiny_rn).model.visual)
    torch.manual_seed(0)
    for name, parameter in visual.named_parameters():
        if name.endswith('bn3.weight'):
            nn.init.uniform_(parameter, 0.5, 1.5)
    return visual


@pytest.fixture
def vit(tiny_vit):
    return copy.deepcopy(load_clip(**tiny_vit).model.visual)


def test_resnet_pool_without_query_and_key_averages_the_dense_features(resnet):
    images = torch.randn(2, 3, 64, 64)
    dense, = ResNetTower(resnet)(images)
    pool = resnet.attnpool
    for zeroed in (pool.q_proj.weight, pool.q_proj.bias, pool.k_proj.weight, pool.k_proj.bias,
                   pool.positional_embedding):
        nn.init.zeros_(zeroed)
    # Uniform attention over all positions and their mean gives the mean value.
    assert dense.shape == (2, 32, 2, 2)
    assert torch.allclose(resnet(images), dense.mean(dim=(2, 3)), atol=1e-4)


def test_vit_block_that_lets_each_token_see_only_itself_gives_the_dense_features(vit):
    images = torch.randn(2, 3, 64, 64)
    dense, = dense_tower(vit, 'maskclip')(images)
    blocks = vit.transformer.resblocks
    x = vit._embeds(images)
    for block in blocks[:-1]:
        x = block(x)
    only_itself = torch.full((x.shape[1], x.shape[1]), float('-inf')).fill_diagonal_(0)
    expected = vit.ln_post(blocks[-1](x, attn_mask=only_itself)) @ vit.proj
    assert torch.allclose(dense.flatten(2).transpose(1, 2), expected[:, 1:], atol=1e-4)


def test_keys_are_those_of_the_pool_and_of_the_last_block(resnet, vit):
    images = torch.randn(2, 3, 64, 64)
    for variant in ('maskclip', 'kk'):
        keys, dense = dense_tower(resnet, variant)(images, keys=True)
        x = resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(resnet.stem(images)))))
        expected = resnet.attnpool.k_proj(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        assert torch.allclose(keys, expected, atol=1e-5)
        assert torch.equal(dense, dense_tower(resnet, variant)(images)[0])
    x = vit._embeds(images)
    *first, last = vit.transformer.resblocks
    for block in first:
        x = block(x)
    weight, bias = last.attn.in_proj_weight[64:128], last.attn.in_proj_bias[64:128]
    expected = (last.ln_1(x) @ weight.T + bias)[:, 1:].transpose(1, 2).reshape(2, 64, 4, 4)
    for variant in ('maskclip', 'naclip', 'sclip'):
        first_block, keys, dense = dense_tower(vit, variant)(images, [0], keys=True)
        assert torch.allclose(keys, expected, atol=1e-5)
        assert torch.equal(dense, dense_tower(vit, variant)(images)[0])
        assert torch.equal(first_block, dense_tower(vit, variant)(images, [0])[0])


def test_vit_value_variant_drops_residual_and_mlp(vit):
    images = torch.randn(1, 3, 64, 64)
    dense, = dense_tower(vit, 'value')(images)
    x = vit._embeds(images)
    *first, last = vit.transformer.resblocks
    for block in first:
        x = block(x)
    width = x.shape[-1]
    value = last.ln_1(x) @ last.attn.in_proj_weight[2 * width:].T + last.attn.in_proj_bias[2 * width:]
    value = value @ last.attn.out_proj.weight.T + last.attn.out_proj.bias
    expected = (vit.ln_post(value) @ vit.proj)[:, 1:]
    assert torch.allclose(dense.flatten(2).transpose(1, 2), expected, atol=1e-5)
    assert not torch.allclose(dense, dense_tower(vit, 'maskclip')(images)[0], atol=1e-2)


def test_vit_positions_are_resized_and_kept_at_the_native_size(vit):
    tower = ViTTower(vit)
    assert tower._positions((4, 4)) is vit.positional_embedding
    resized = tower._positions((6, 8))
    assert resized.shape == (49, 64)
    assert torch.equal(resized[0], vit.positional_embedding[0])
    # Resizing keeps a constant map constant.
    nn.init.ones_(vit.positional_embedding)
    assert torch.allclose(tower._positions((6, 8)), torch.ones(49, 64), atol=1e-5)


def test_intermediate_features_are_the_towers_own(resnet, vit):
    images = torch.randn(1, 3, 64, 64)
    layers = ResNetTower(resnet)(images, out_indices=(0, 3))
    expected = resnet.forward_intermediates(images, indices=[1, 4], intermediates_only=True)['image_intermediates']
    assert len(layers) == 3 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(layers, expected))
    blocks = ViTTower(vit)(images, out_indices=(0, 2))
    expected = vit.forward_intermediates(images, indices=[0, 2], intermediates_only=True)['image_intermediates']
    assert len(blocks) == 3 and all(torch.allclose(a, b, atol=1e-5) for a, b in zip(blocks, expected))


def test_stride_of_the_standard_resnet_is_32_and_of_the_vit_its_patch(resnet, vit):
    assert (ResNetTower(resnet).stride, ViTTower(vit).stride) == (32, 16)
    assert ResNetTower(resnet).channels == (32, 64, 128, 256)


def test_towers_that_have_no_dense_features_are_refused(vit):
    with pytest.raises(UserError, match='RN50.*ViT-B-16'):
        dense_tower(nn.Linear(1, 1), name='odd')
    with pytest.raises(UserError, match="dense variant 'best' is unknown: expected one of maskclip, value"):
        dense_tower(vit, 'best')
    vit.pool_type = 'avg'
    with pytest.raises(UserError, match="'odd'.*can't give dense features"):
        dense_tower(vit, name='odd')


@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_folding_leaves_every_feature_and_the_tower_itself_as_they_are(resnet, dtype, tolerance):
    for module in resnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3), nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5), nn.init.normal_(module.bias, std=0.3)
    tower = ResNetTower(resnet.to(dtype))
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    folded = fold_batch_norm(tower)
    images = torch.randn(2, 3, 64, 96, dtype=dtype)
    expected, found = tower(images, (0, 3)), folded(images, (0, 3))
    assert len(found) == 3
    for one, other in zip(found, expected):
        assert (one - other).abs().max() <= tolerance * other.abs().max()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    after = tower.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert folded.visual.attnpool is resnet.attnpool


def test_channels_stay_last_through_a_move(resnet):
    moved = Frozen(fold_batch_norm(ResNetTower(resnet))).double().module
    assert all(module.weight.is_contiguous(memory_format=torch.channels_last) for module in moved.modules()
               if isinstance(module, nn.Conv2d))
    features, = moved(torch.randn(1, 3, 64, 64, dtype=torch.float64))
    assert features.is_contiguous(memory_format=torch.channels_last)


def test_a_vit_needs_no_folding(vit):
    tower = ViTTower(vit)
    assert fold_batch_norm(tower) is tower

"""mmseg's VisionTransformer with converted weights gives the features of the tower."""
import open_clip
import pytest
import torch
from mmengine import ConfigDict
from mmseg.registry import MODELS
from torch import nn

from mmseg_mvp.clip import fill_vit, load_clip, vit_config
from mmseg_mvp.clip.dense_tower import dense_tower
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')


def stock_features(tower, images):
    stock = MODELS.build(ConfigDict(vit_config(tower)))
    stock.eval()
    fill_vit(stock, tower)
    features, = stock(images)
    return torch.einsum('bchw,cd->bdhw', features, tower.visual.proj)


def vision_transformer(**settings):
    torch.manual_seed(0)
    settings = dict(dict(image_size=(32, 48), patch_size=16, width=32, layers=3, heads=2, mlp_ratio=4., output_dim=8),
                    **settings)
    visual = open_clip.transformer.VisionTransformer(**settings).eval()
    for parameter in visual.parameters():  # the initial values of biases and norms would hide errors
        nn.init.normal_(parameter, std=0.3)
    return visual


@torch.no_grad()
@pytest.mark.parametrize('size', [(64, 64), (48, 112)], ids=['as trained', 'resized'])
def test_features_of_a_clip(tiny_vit, size):
    tower = load_clip(**tiny_vit).dense_tower()
    images = torch.randn(2, 3, *size)
    expected, = tower(images)
    assert expected.std() > 0.01
    assert torch.allclose(stock_features(tower, images), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize('settings', [
    {}, dict(ls_init_value=0.1), dict(act_layer=open_clip.transformer.QuickGELU), dict(mlp_ratio=2.)], ids=str)
def test_all_weights_count(settings):
    tower = dense_tower(vision_transformer(**settings))
    images = torch.randn(1, 3, 64, 48)
    expected, = tower(images)
    assert torch.allclose(stock_features(tower, images), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize('settings, variant, reason', [
    ({}, 'value', "the dense variant 'value', not 'maskclip': export it as ONNX"),
    ({}, 'sclip', "the dense variant 'sclip'"), ({}, 'clearclip', "the dense variant 'clearclip'"),
    ({}, dict(type='naclip', neighbourhood=2.), "the dense variant {'pairs'"),
    (dict(act_layer=nn.SiLU), 'maskclip', 'the activation SiLU'),
    (dict(mlp_ratio=1.), 'maskclip', 'an MLP of 32 units on a width of 32'),
    (dict(mlp_ratio=2.5), 'maskclip', 'an MLP of 80 units'),
    (dict(no_ln_pre=True), 'maskclip', 'no norm before its blocks')], ids=lambda value: str(value)[:20])
def test_towers_that_do_not_fit_are_refused(settings, variant, reason):
    with pytest.raises(UserError, match=reason):
        vit_config(dense_tower(vision_transformer(**settings), variant))

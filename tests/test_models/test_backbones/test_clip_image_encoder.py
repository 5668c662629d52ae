"""The backbone's frozen, trainable and reduced-precision forms."""
import logging

import pytest
import torch
from fixtures.lanes import CPU_FLOAT16
from fixtures.proxies import DINO
from mmengine.logging import MMLogger
from mmseg.registry import MODELS
from torch import nn

from mmseg_mvp.clip import POOL_VARIANTS, VIT_VARIANTS, load_clip
from mmseg_mvp.clip.identity import weights_hash
from mmseg_mvp.errors import UserError

PROXY = dict(type='proxy', model=DINO, pretrained=False)


def encoder(clip: dict, **kwargs) -> nn.Module:
    return MODELS.build(dict(type='CLIPImageEncoder', clip=clip, **kwargs))


def count_batch_norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


def test_a_frozen_resnet_is_folded_and_the_loaded_clip_is_not(tiny_rn):
    clip, images = load_clip(**tiny_rn), torch.randn(2, 3, 64, 64)
    expected, = clip.dense_tower()(images)
    model = encoder(tiny_rn)
    assert count_batch_norms(model.tower.module) == 0 < count_batch_norms(clip.dense_tower())
    assert torch.allclose(model(images)[0], expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert weights_hash(clip.model) == clip.weights_hash
    assert not model.state_dict() and not list(model.parameters())


def test_a_trainable_resnet_keeps_its_batch_norm_and_learns(tiny_rn):
    clip = load_clip(**tiny_rn)
    model = encoder(tiny_rn, frozen=False).train()
    assert count_batch_norms(model) == count_batch_norms(clip.dense_tower())
    mean = model.tower.state_dict()['visual.bn1.running_mean'].clone()
    model(torch.randn(2, 3, 64, 64))[0].square().sum().backward()
    assert next(model.tower.parameters()).grad.abs().sum() > 0  # of the first convolution
    assert not torch.equal(model.tower.state_dict()['visual.bn1.running_mean'], mean)
    assert weights_hash(clip.model) == clip.weights_hash


@pytest.mark.parametrize('frozen', [True, False])
@pytest.mark.parametrize('precision', ['bfloat16', pytest.param('float16', marks=CPU_FLOAT16)])
def test_autocast_gives_float32_features_of_that_precision(tiny_clip, precision, frozen):
    images = torch.randn(2, 3, 64, 64)
    exact, = encoder(tiny_clip, frozen=frozen).eval()(images)
    found, = encoder(tiny_clip, frozen=frozen, autocast=precision).eval()(images)
    assert found.dtype == torch.float32
    dtype = getattr(torch, precision)
    assert torch.equal(found, found.to(dtype).float())  # each value is one of that precision
    step = torch.finfo(dtype).eps
    assert 0 < (found - exact).abs().max() < 5 * step * exact.abs().max()


def test_a_precision_that_torch_lacks_on_the_device(tiny_vit, monkeypatch):
    """As torch 2.1 does with float16 on a CPU."""
    def refuse(device, dtype):
        raise RuntimeError(f'Currently, AutocastCPU only support Bfloat16, not {dtype}')

    model = encoder(tiny_vit, autocast='float16').eval()
    monkeypatch.setattr(torch, 'autocast', refuse)
    with pytest.raises(UserError, match=r"autocast='float16'\) .* not torch.float16\): take 'bfloat16'"):
        model(torch.randn(1, 3, 32, 32))


def test_reduced_precision_is_told_once_and_only_in_eval_mode(tiny_vit):
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append((record.levelname, record.getMessage()))
    logger = MMLogger.get_instance('test_autocast')
    logger.addHandler(handler)
    images = torch.randn(1, 3, 32, 32)
    try:
        encoder(tiny_vit).eval()(images)
        model = encoder(tiny_vit, autocast='bfloat16').train()
        model(images)
        told_in_training = [message for _, message in told if 'bfloat16' in message]
        model.eval()
        model(images), model(images)
    finally:
        logger.removeHandler(handler)
    assert not told_in_training
    (level, message), = [one for one in told if 'bfloat16' in one[1]]
    assert level == 'WARNING' and 'CLIPImageEncoder.autocast' in message


def test_an_unknown_precision_is_refused(tiny_vit):
    with pytest.raises(UserError, match="autocast is 'half': expected one of bfloat16, float16, or None"):
        encoder(tiny_vit, autocast='half')


def variants(clip: dict) -> list:
    """Every variant of the CLIP; tiny_vit has two blocks before the last, so its resclip reads these."""
    names = POOL_VARIANTS if clip['model'].endswith('rn.json') else VIT_VARIANTS
    return [*(dict(type=name, middle=[0, 1]) if name == 'resclip' else name for name in names), PROXY]


@pytest.mark.parametrize('out_indices', [(), (1, ), (2, )], ids=str)
def test_what_can_train_gets_a_gradient(tiny_clip, out_indices):
    for dense in variants(tiny_clip):
        model = encoder(tiny_clip, frozen=False, dense=dense, out_indices=out_indices).train()
        sum(features.square().sum() for features in model(torch.randn(2, 3, 64, 96))).backward()
        check_gradients(model)


def test_every_variant_runs_under_autocast(tiny_clip):
    images = torch.randn(1, 3, 64, 96)
    for dense in variants(tiny_clip):
        exact, = encoder(tiny_clip, dense=dense).eval()(images)
        found, = encoder(tiny_clip, dense=dense, autocast='bfloat16').eval()(images)
        assert found.dtype == torch.float32 and found.shape == exact.shape
        assert 0 < (found - exact).abs().max() < 0.05 * exact.abs().max(), dense


@pytest.mark.parametrize('frozen', [True, False])
def test_a_proxy_is_neither_trained_nor_saved(tiny_clip, frozen):
    model, plain = (encoder(tiny_clip, dense=dense, frozen=frozen) for dense in (PROXY, 'value'))
    shapes = [[one.shape for one in (*found.parameters(), *found.state_dict().values())] for found in (model, plain)]
    assert shapes[0] == shapes[1] and bool(shapes[0]) != frozen
    model.train().double()
    proxy = (model.tower.module if frozen else model.tower).proxy.module
    assert not proxy.training and {one.dtype for one in proxy.parameters()} == {torch.float64}
    assert not any(one.requires_grad for one in proxy.parameters())
    assert model(torch.randn(1, 3, 64, 64).double())[0].dtype == torch.float64


def test_a_proxy_takes_images_of_any_size(tiny_clip):
    model, images = encoder(tiny_clip, dense=PROXY), torch.randn(2, 3, 50, 91)
    found, = model(images)
    assert model.stride == 8 and found.shape == (2, 32, 7, 12)
    assert torch.allclose(found, torch.cat([model(image[None])[0] for image in images]), atol=1e-5)
    assert torch.allclose(found, model(torch.nn.functional.pad(images, (0, 5, 0, 6)))[0], atol=1e-5)


def test_a_proxy_changes_no_embedding_of_the_whole_image(tiny_clip):
    images = torch.randn(2, 3, 64, 96)
    found, expected = (encoder(tiny_clip, dense=dense).image_embedding(images) for dense in (PROXY, 'value'))
    assert torch.allclose(found, expected, atol=1e-6)


def test_an_unknown_variant_and_one_of_another_tower_are_refused(tiny_rn, tiny_vit):
    with pytest.raises(UserError, match="'sclip' needs a ViT with a class token, but CLIP '.*tiny_rn.json' has a R"):
        encoder(tiny_rn, dense='sclip')
    with pytest.raises(UserError, match=r"the blocks \[5, 6, 7, 8\], but CLIP '.*tiny_vit.json' has only the blocks 0"):
        encoder(tiny_vit, dense='resclip')


def check_gradients(model: nn.Module) -> None:
    assert [name for name, value in model.named_parameters() if value.requires_grad != (value.grad is not None)] == []
    assert any(value.requires_grad for value in model.parameters())

"""LSeg's head against its equations, written out, over ViTs with class tokens and over pyramids."""
import math

import pytest
import torch
from fixtures.refusals import refused
from fixtures.text_models import ALL, SEEN, batch, build_segmentor
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_mvp.clip.loading import load_clip
from mmseg_mvp.errors import UserError

PYRAMID = dict(in_channels=[8, 16, 32, 64], readout_type=None, channels=16)
CHANNELS = [4, 6, 8, 10]


def config(clip, **kwargs):
    return dict(dict(type='LSegHead', clip=clip, train_classes=SEEN, test_classes=ALL, **PYRAMID), **kwargs)


def build(clip, **kwargs):
    torch.manual_seed(0)
    head = MODELS.build(config(clip, **kwargs))
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # fresh statistics would hide a norm that is left out
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return head.eval()


def pyramid(channels=(8, 16, 32, 64), side=16):
    torch.manual_seed(1)
    return [torch.randn(2, width, side >> level, side >> level) for level, width in enumerate(channels)]


def norm(x, bn):
    scale = bn.weight / (bn.running_var + bn.eps).sqrt()
    return x * scale[:, None, None] + (bn.bias - bn.running_mean * scale)[:, None, None]


def residual(x, unit):
    y = norm(F.conv2d(x.clamp(min=0), unit.conv1.conv.weight, padding=1), unit.conv1.bn)
    return x + norm(F.conv2d(y.clamp(min=0), unit.conv2.conv.weight, padding=1), unit.conv2.bn)


def fuse(head, maps):
    """From coarse to fine: add the finer map, refine, double, project (strides 4 to 32 give stride 2)."""
    maps = [F.conv2d(one, conv.conv.weight, padding=1) for one, conv in zip(maps, head.convs)]
    x = None
    for block, finer in zip(head.fusion_blocks, reversed(maps)):
        x = finer if x is None else x + residual(finer, block.res_conv_unit1)
        x = F.interpolate(residual(x, block.res_conv_unit2), scale_factor=2, mode='bilinear', align_corners=True)
        x = F.conv2d(x, block.project.conv.weight, block.project.conv.bias)
    return x


def correlate(head, clip, x, names, temperature=0.07):
    """cos(pixel, text) / temperature, pixel by pixel, with raw names through open_clip's own tower."""
    x = F.conv2d(x, head.conv_seg.projection.weight, head.conv_seg.projection.bias)
    loaded = load_clip(**clip)
    text = loaded.model.encode_text(loaded.tokenizer(names))
    out = x.new_empty(len(x), len(names), *x.shape[2:])
    for b in range(out.shape[0]):
        for n, vector in enumerate(text):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    pixel = x[b, :, i, j]
                    out[b, n, i, j] = pixel @ vector / (pixel.norm() * vector.norm()) / temperature
    return out


@torch.no_grad()
def test_a_pyramid_is_fused_projected_and_compared_with_text(tiny_clip):
    head, maps = build(tiny_clip), pyramid(side=8)
    found = head(maps)
    assert found.shape == (2, len(ALL), 16, 16)  # stride 2
    assert torch.allclose(found, correlate(head, tiny_clip, fuse(head, maps), ALL), atol=1e-4)


@torch.no_grad()
def test_the_maps_of_a_dilated_network_are_brought_to_the_pyramids_strides(tiny_rn):
    head = build(tiny_rn, strides=(4, 8, 8, 8))
    maps = [torch.randn(2, width, side, side) for width, side in zip((8, 16, 32, 64), (16, 8, 8, 8))]
    half, quarter = head.reassemble_blocks[2], head.reassemble_blocks[3]
    expected = [*maps[:2], F.conv2d(maps[2], half.weight, half.bias, stride=2, padding=1),
                F.conv2d(maps[3], quarter.weight, quarter.bias, stride=4, padding=1)]
    assert [one.shape[-1] for one in expected] == [16, 8, 4, 2]
    assert torch.allclose(head(maps), correlate(head, tiny_rn, fuse(head, expected), ALL), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('patch, factors', [(16, (4, 2, 1, 0.5)), (32, (8, 4, 2, 1))])
@pytest.mark.parametrize('readout', ['project', *(pytest.param(name, marks=pytest.mark.slow)
                                                 for name in ('add', 'ignore'))])
def test_maps_of_a_vit_are_reassembled_with_the_class_token(tiny_rn, patch, factors, readout):
    head = build(tiny_rn, in_channels=12, patch_size=patch, readout_type=readout, post_process_channels=CHANNELS)
    tokens = [(torch.randn(2, 12, 4, 4), torch.randn(2, 12)) for _ in range(4)]
    maps = []
    for level, (patches, token) in enumerate(tokens):
        x, grid = patches, token[:, :, None, None].expand_as(patches)
        if readout == 'add':
            x = patches + grid
        if readout == 'project':
            linear = head.reassemble_blocks.readout_projects[level][0]
            x = F.gelu(F.conv2d(torch.cat([patches, grid], 1), linear.weight[:, :, None, None], linear.bias))
        project = head.reassemble_blocks.projects[level].conv
        x, layer = F.conv2d(x, project.weight, project.bias), head.reassemble_blocks.resize_layers[level]
        factor = factors[level]
        if factor > 1:
            x = F.conv_transpose2d(x, layer.weight, layer.bias, stride=int(factor))
        elif factor < 1:
            x = F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)
        assert x.shape == (2, CHANNELS[level], 4 * factor, 4 * factor)
        maps.append(x)
    found = head(tokens)
    assert found.shape[2] == 4 * patch // 2
    assert torch.allclose(found, correlate(head, tiny_rn, fuse(head, maps), ALL), atol=1e-4)
    if readout == 'ignore':
        assert torch.equal(head([patches for patches, _ in tokens]), found)  # a backbone without class tokens


def test_the_gradient_of_the_projection_is_a_finite_difference(tiny_rn):
    head = build(tiny_rn).double().train(False)
    maps = [one.double() for one in pyramid(side=8)]
    weight, step = head.conv_seg.projection.weight, 1e-6
    weights = torch.randn(head(maps).shape).double()
    (head(maps) * weights).sum().backward()
    with torch.no_grad():
        for index in ((0, 0), (5, 3), (31, 15)):
            values = []
            for sign in (1, -1):
                weight[index] += sign * step
                values.append((head(maps) * weights).sum())
                weight[index] -= sign * step
            assert weight.grad[index].item() == pytest.approx(((values[0] - values[1]) / (2 * step)).item(), rel=1e-4)


def test_the_temperature_is_a_buffer_or_learned(tiny_rn):
    fixed, learned = build(tiny_rn), build(tiny_rn, learn_temperature=True)
    assert fixed.conv_seg.log_scale.item() == pytest.approx(math.log(1 / 0.07))
    assert 'conv_seg.log_scale' in fixed.state_dict() and 'conv_seg.log_scale' not in dict(fixed.named_parameters())
    learned(pyramid()).square().sum().backward()
    assert learned.conv_seg.log_scale.grad.abs() > 0
    with torch.no_grad():
        learned.conv_seg.log_scale.fill_(math.log(1 / 0.14))
    assert torch.allclose(learned(pyramid()), fixed(pyramid()) / 2, atol=1e-5)


@torch.no_grad()
def test_regularization_comes_after_the_scores(tiny_rn):
    regularized = build(tiny_rn, regularization=dict(type='SpatialRegularization', depth=2))
    plain = build(tiny_rn)
    plain.load_state_dict(regularized.state_dict(), strict=False)
    assert torch.allclose(regularized(pyramid()), regularized.conv_seg.regularization(plain(pyramid())))


def test_every_parameter_learns_and_text_does_not(tiny_rn):
    model = build_segmentor(config(tiny_rn, regularization=dict(type='SpatialRegularization')), size_divisor=32)
    data = model.data_preprocessor(batch(), True)
    model.train()(**data, mode='loss')['decode.loss_seg'].backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    assert not any('tower' in name for name, _ in model.named_parameters())


@torch.no_grad()
@pytest.mark.parametrize('size', [(50, 70), (64, 96), (31, 33)])
def test_sides_that_are_no_multiples_of_32_are_padded(tiny_rn, size):
    model = build_segmentor(config(tiny_rn), size_divisor=32).eval()
    images = torch.randn(2, 3, *size)
    bottom, right = -size[0] % 32, -size[1] % 32
    padded = F.pad(images, (0, right, 0, bottom))
    whole = F.interpolate(model.decode_head(model.backbone(padded)), padded.shape[2:], mode='bilinear',
                          align_corners=True)[..., :size[0], :size[1]]
    found = model.predict(images)
    for sample, logits in zip(found, whole):
        assert torch.allclose(sample.low_res_logits.resize(), logits, atol=1e-4)
        assert (sample.pred_sem_seg.data[0] == logits.argmax(0)).float().mean() > 0.999
    model.test_cfg.update(mode='slide', crop_size=size, stride=size)  # one window of that size
    assert torch.allclose(model.predict(images)[0].low_res_logits.resize(), whole[0], atol=1e-4)


def test_training_pads_images_and_labels_alike(tiny_rn):
    model = build_segmentor(config(tiny_rn, norm_cfg=dict(type='GN', num_groups=2)), size_divisor=32,
                            data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(50, 60)))
    padding = build_segmentor(config(tiny_rn, norm_cfg=dict(type='GN', num_groups=2)),
                              data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size=(64, 64)))
    losses = []
    for one in (model, padding):
        data = one.eval().data_preprocessor(batch(size=(50, 60)), True)
        losses.append(one(**data, mode='loss')['decode.loss_seg'].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_checkpoint_of_another_embedding_is_refused(tiny_rn):
    head = build(tiny_rn)
    state = dict(head.state_dict(), **{'conv_seg.projection.weight': torch.zeros(768, 16, 1, 1)})
    with pytest.raises(UserError, match='embeddings of size 768.*have 32.*set clip'):
        head.load_state_dict(state)


@pytest.mark.parametrize('kwargs, words', [
    (dict(readout_type='cls'), ['readout_type', "'cls'", "'project'"]),
    (dict(in_channels=12, readout_type='add', patch_size=14), ['patch_size', '14', '4, 8, 16, 32']),
    (dict(strides=(4, 8, 8)), ['strides', '[4, 8, 8]', 'four of 4, 8, 16, 32']),
    (dict(in_channels=[8, 16, 32]), ['in_channels', 'four maps']),
    (dict(readout_type='project'), ['in_channels', 'all the same for a ViT']),
    (dict(temperature=0), ['temperature', 'is 0', 'above 0']),
    (dict(train_classes=['sky']), ['single class', 'other']),
])
def test_wrong_settings_are_named(tiny_rn, kwargs, words):
    with pytest.raises(UserError) as error:
        build(tiny_rn, **kwargs)
    assert all(word in str(error.value) for word in words)


def test_a_backbone_without_class_tokens_is_told_what_to_set(tiny_rn):
    head = build(tiny_rn, in_channels=12, readout_type='project', post_process_channels=CHANNELS)
    with pytest.raises(UserError, match='output_cls_token=True'):
        head([torch.randn(1, 12, 4, 4)] * 4)


PYRAMID_HEAD = dict(type='LSegHead', train_classes='toy:seen', in_channels=[8, 16, 32, 64], readout_type=None,
                    channels=8)


@pytest.mark.parametrize('key, value', [
    ('in_channels', 'a'), ('in_channels', None), ('in_channels', 0), ('in_channels', [8, 16, 'a', 64]),
    ('in_channels', [8, 16, -1, 64]), ('in_channels', [1, 2]), ('strides', 3), ('strides', None), ('strides', [4, 8]),
    ('strides', [4, 8, 16, 'a']), ('readout_type', []), ('readout_type', 3)])
def test_lseg_built_with(tiny_rn, key, value):
    refused(lambda: MODELS.build({**PYRAMID_HEAD, 'clip': tiny_rn, key: value}), 'LSegHead')

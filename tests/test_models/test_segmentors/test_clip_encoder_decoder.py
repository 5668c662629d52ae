"""The segmentor: inference paths that must agree, what training may touch, and its checkpoints."""
import copy

import pytest
import torch
from fixtures.logs import record_logs
from fixtures.proxies import DINO
from mmengine import ConfigDict
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import load_checkpoint, save_checkpoint
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401
from mmseg_mvp.clip import POOL_VARIANTS, VIT_VARIANTS
from mmseg_mvp.clip.identity import weights_hash
from mmseg_mvp.errors import UserError

pytestmark = pytest.mark.usefixtures('mmseg_scope')

CLASSES = ['cat', 'dog', 'traffic light', 'sheep']


def config(clip, **test_cfg):
    return ConfigDict(
        type='CLIPEncoderDecoder', clip=clip, data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        backbone=dict(type='CLIPImageEncoder'),
        decode_head=dict(type='MultiPromptTextHead', train_classes=CLASSES, gpr=dict(type='GPR'),
                         prompts=dict(type='LearnedPrompts', context_length=4),
                         loss_presence=dict(type='PresenceLoss'), loss_oc=dict(type='OCLoss')),
        test_cfg=test_cfg or dict(mode='whole'))


def build(clip, **test_cfg):
    torch.manual_seed(0)
    return MODELS.build(config(clip, **test_cfg)).eval()


def batch(height=64, width=64, count=2):
    torch.manual_seed(1)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 4, (1, height, width))),
                             metainfo=dict(ori_shape=(height, width), img_shape=(height, width), img_path='x.jpg'))
               for _ in range(count)]
    return torch.randn(count, 3, height, width), samples


@pytest.mark.parametrize('kind, dense', [
    *[('tiny_vit', name) for name in VIT_VARIANTS if name != 'resclip'],
    ('tiny_vit', dict(type='resclip', middle=[0, 1])), *[('tiny_rn', name) for name in POOL_VARIANTS],
    *[(kind, dict(type='proxy', model=DINO, pretrained=False)) for kind in ('tiny_vit', 'tiny_rn')]], ids=str)
def test_every_dense_variant_trains_prompts_and_infers_by_windows(kind, dense, request):
    settings = config(request.getfixturevalue(kind), mode='slide', crop_size=(64, 64), stride=(32, 32))
    settings.backbone.dense = dense
    torch.manual_seed(0)
    model, (images, samples) = MODELS.build(settings), batch(64, 96)
    sum(value for name, value in model.loss(images, samples).items() if 'loss' in name).backward()
    contexts = model.decode_head.classifier.prompts.contexts
    assert contexts.grad.abs().sum() > 0 and contexts.grad.isfinite().all()
    windows = [model.eval().decode_head.class_maps(model.backbone(images[..., left:left + 64])) for left in (0, 32)]
    step, total = 32 // model.backbone.stride, torch.zeros(*windows[0].shape[:3], 96 // model.backbone.stride)
    total[..., :2 * step] += windows[0]
    total[..., step:] += windows[1]
    total[..., step:2 * step] /= 2
    expected = model.decode_head.refine(total)
    with torch.no_grad():
        found = [sample.low_res_logits.logits for sample in model.predict(images, samples)]
    assert torch.allclose(torch.stack(found), expected, atol=1e-4)
    views = torch.stack([one.maps for one in model.explain(images, samples)])  # (B, P, C, h, w), m_0 first
    summed = model.decode_head.logit_scale * views[:, 1:].sum(dim=1)
    assert torch.allclose(summed, total[:, :len(CLASSES)], atol=1e-4)


@MODELS.register_module()
class PointwiseBackbone(nn.Module):
    """Sees one cell at a time, so that a window's features are a part of the image's."""
    stride = 8

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 8, stride=8)

    def forward(self, x):
        pad = [-side % 8 for side in x.shape[2:]]
        return (self.conv(F.pad(x, (0, pad[1], 0, pad[0]))), )


@pytest.mark.parametrize('size', [(64, 64), (64, 104), (61, 75)])
def test_sliding_windows_agree_with_the_whole_image_where_they_must(tiny_rn, size):
    images, samples = batch(*size)
    logits = []
    for test_cfg in (dict(mode='whole'), dict(mode='slide', crop_size=(32, 40), stride=(16, 24))):
        settings = config(tiny_rn, **test_cfg)
        settings['backbone'] = dict(type='PointwiseBackbone')
        torch.manual_seed(0)
        model = MODELS.build(settings).eval()
        with torch.no_grad():
            logits.append(model.inference(images, [one.metainfo for one in samples]))
    assert logits[0].shape == (2, 4, *size)
    assert torch.allclose(*logits, atol=1e-4)


def test_a_window_as_large_as_the_image_is_the_whole_image(tiny_clip):
    images, samples = batch(64, 96)
    metas = [one.metainfo for one in samples]
    with torch.no_grad():
        whole = build(tiny_clip).inference(images, metas)
        slide = build(tiny_clip, mode='slide', crop_size=(96, 96), stride=(32, 32)).inference(images, metas)
    assert torch.allclose(whole, slide, atol=1e-5)


def test_windows_cover_every_position_and_end_at_the_border(tiny_rn):
    model = build(tiny_rn, mode='slide', crop_size=(96, 64), stride=(64, 64))
    windows = list(model._windows([7, 2]))
    assert windows == [(slice(s, s + 3), slice(0, 2)) for s in (0, 2, 4)]


def test_gpr_sees_the_stitched_map_not_a_window(tiny_rn):
    images, samples = batch(64, 128, count=1)
    model = build(tiny_rn, mode='slide', crop_size=(64, 64), stride=(64, 64))
    with torch.no_grad():
        windows = [model.class_maps(images[..., :64]), model.class_maps(images[..., 64:])]
        stitched = torch.cat(windows, dim=3)
        logits, global_map = stitched.chunk(2, dim=1)
        expected = logits + model.decode_head.gpr(global_map)[:, :, None, None]
        expected = F.interpolate(expected, size=(64, 128), mode='bilinear', align_corners=False)
        assert torch.allclose(model.inference(images, [one.metainfo for one in samples]), expected, atol=1e-5)


@pytest.mark.parametrize('size', [(64, 64), (50, 70)])
def test_prediction_has_the_images_size_and_the_maps_place(tiny_clip, size):
    images, samples = batch(*size)
    model = build(tiny_clip)
    with torch.no_grad():
        predicted = model.predict(images, samples)
        maps = model.decode_head.refine(model.class_maps(images))
    stride = model.backbone.stride
    padded = F.interpolate(maps, scale_factor=stride, mode='bilinear', align_corners=False)
    expected = padded[..., :size[0], :size[1]].argmax(dim=1)
    assert all(torch.equal(one.pred_sem_seg.data[0], label) for one, label in zip(predicted, expected))


@pytest.mark.parametrize('tta_model, keep_logits', [('LowResSegTTAModel', False), ('SegTTAModel', True)])
def test_tta_model_averages_flips(tiny_rn, tta_model, keep_logits):
    images, _ = batch(count=1)
    tta = MODELS.build(dict(type=tta_model, module=config(tiny_rn, mode='whole', keep_logits=keep_logits))).eval()
    metas = [dict(ori_shape=(64, 64), img_shape=(64, 64), img_path='x.jpg', flip=flip, flip_direction='horizontal')
             for flip in (False, True)]
    data = dict(inputs=[images, images.flip(3)], data_samples=[[SegDataSample(metainfo=meta)] for meta in metas])
    data['inputs'] = [list(one) for one in data['inputs']]
    with torch.no_grad():
        result, = tta.test_step(data)
        plain = tta.module.inference(images, metas[:1]).softmax(1)
        flipped = tta.module.inference(images.flip(3), metas[:1]).softmax(1).flip(3)
    assert torch.equal(result.pred_sem_seg.data[0], (plain + flipped)[0].argmax(dim=0))


def test_mmsegs_own_tta_model_without_kept_logits_says_what_to_set(tiny_rn):
    images, samples = batch(count=1)
    tta = MODELS.build(dict(type='SegTTAModel', module=config(tiny_rn))).eval()
    with torch.no_grad(), pytest.raises(UserError, match='keep_logits=True'):
        tta.test_step(dict(inputs=[list(images)] * 2, data_samples=[samples] * 2))


@pytest.mark.parametrize('mode', [dict(mode='whole'), dict(mode='slide', crop_size=(64, 64), stride=(32, 32))])
@pytest.mark.parametrize('with_samples', [True, False])
def test_predictions_are_those_of_mmsegs_postprocessing(tiny_clip, mode, with_samples):
    images, samples = batch(70, 90)
    for sample in samples:
        sample.set_metainfo(dict(ori_shape=(50, 111), img_padding_size=[0, 3, 0, 5], flip=True,
                                 flip_direction='horizontal'))
    samples = samples if with_samples else None
    model = build(tiny_clip, keep_logits=True, **mode)
    with torch.no_grad():
        expected = EncoderDecoder.predict(model, images, samples and copy.deepcopy(samples))
        kept = model.predict(images, samples and copy.deepcopy(samples))
        model.test_cfg['keep_logits'] = False
        dropped = model.predict(images, samples)
    for theirs, ours, small in zip(expected, kept, dropped):
        assert ours.seg_logits.shape == theirs.seg_logits.shape == (50, 111) if with_samples else (70, 90)
        assert torch.allclose(ours.seg_logits.data, theirs.seg_logits.data, atol=1e-4)
        assert torch.equal(ours.pred_sem_seg.data, small.pred_sem_seg.data)
        assert ours.pred_sem_seg.data.dtype == theirs.pred_sem_seg.data.dtype
        assert (ours.pred_sem_seg.data != theirs.pred_sem_seg.data).float().mean() < 1e-3
        assert torch.equal(small.low_res_logits.resize(), ours.seg_logits.data)
        assert 'data' not in small.seg_logits


def test_window_sizes_between_the_strides_are_floored_and_said_once(tiny_rn, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        model = build(tiny_rn, mode='slide', crop_size=(100, 64), stride=(70, 32))
        model.predict(*batch(count=1))
    finally:
        logger.removeHandler(caplog.handler)
    told = [record.getMessage() for record in caplog.records if 'test_cfg' in record.getMessage()]
    assert len(told) == 2
    assert 'crop_size is (100, 64)' in told[0] and '(96, 64) is used' in told[0]
    assert 'stride is (70, 32)' in told[1] and '(64, 32) is used' in told[1]


def test_an_unknown_test_mode_is_told(tiny_rn):
    with pytest.raises(UserError, match="mode is 'sliding'"):
        build(tiny_rn, mode='sliding').predict(*batch())


def test_training_changes_prompts_and_scales_and_nothing_else(tiny_clip):
    model = build(tiny_clip).train()
    towers = [model.backbone.tower.module, model.decode_head.classifier.tower.module]
    before = [weights_hash(tower) for tower in towers]
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)))
    learned = {id(parameter): name for name, parameter in model.named_parameters()}
    assert set(learned.values()) == {
        'decode_head.classifier.prompts.contexts', 'decode_head.log_scale', 'decode_head.gpr.log_temperature'}
    grouped = [parameter for group in optimizer.optimizer.param_groups for parameter in group['params']]
    assert {id(parameter) for parameter in grouped} == set(learned)
    start = copy.deepcopy(model.state_dict())
    images, samples = batch()
    for _ in range(2):
        loss, _ = model.parse_losses(model.loss(images, samples))
        optimizer.update_params(loss)
    assert not any(module.training for tower in towers for module in tower.modules())
    assert [weights_hash(tower) for tower in towers] == before
    assert all(parameter.grad is None for tower in towers for parameter in tower.parameters())
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, start[key])}
    assert changed == set(learned.values())


def test_checkpoint_is_small_and_loads_through_mmengine(tmp_path, tiny_rn):
    model = build(tiny_rn)
    with torch.no_grad():
        model.decode_head.classifier.prompts.contexts.normal_()
    save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(tmp_path / 'prompts.pth'))
    assert (tmp_path / 'prompts.pth').stat().st_size < 20_000
    other = build(tiny_rn)
    load_checkpoint(other, str(tmp_path / 'prompts.pth'))
    images, samples = batch()
    metas = [one.metainfo for one in samples]
    with torch.no_grad():
        assert torch.equal(other.inference(images, metas), model.inference(images, metas))


def test_a_checkpoint_of_another_fusion_or_dense_variant_is_said(tiny_rn, monkeypatch):
    said = record_logs(monkeypatch, 'mmseg_mvp.models.text.record')
    learned = build(tiny_rn).state_dict()
    build(tiny_rn).load_state_dict(learned)
    assert not said
    cfg = config(tiny_rn)
    cfg.backbone.dense, cfg.decode_head.fusion = dict(type='kk', neighbourhood=2.), 'logsumexp'
    other = MODELS.build(cfg)
    other.load_state_dict(learned)
    fusion, dense = said
    assert "learned with the fusion 'sum', but the config has 'logsumexp': set decode_head.fusion" in fusion
    assert "learned with the dense variant 'maskclip', but the config has" in dense and 'neighbourhood' in dense
    other.load_state_dict(other.state_dict())
    assert len(said) == 2


def test_checkpoint_of_something_else_is_refused(tmp_path, tiny_rn):
    torch.save(dict(state_dict={'fc.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r"no entry for this model: found 1 entries such as \['fc.weight'\]"):
        load_checkpoint(build(tiny_rn), str(tmp_path / 'other.pth'))


def test_set_classes_reaches_segmentor_and_head(tiny_rn):
    model = build(tiny_rn)
    model.set_classes(['boat', 'river', 'sky, heaven'])
    head = model.decode_head
    assert model.num_classes == model.out_channels == head.num_classes == head.out_channels == 3
    images, samples = batch()
    assert model.predict(images, samples)[0].low_res_logits.resize().shape == (3, 64, 64)


def test_a_loss_that_is_not_finite_names_its_part(tiny_rn):
    model = build(tiny_rn)
    losses = {'decode.loss_seg': torch.tensor(1.), 'decode.loss_presence': torch.tensor(float('nan'))}
    with pytest.raises(UserError, match=r"not finite: \{'decode.loss_presence': nan\}"):
        model.parse_losses(losses)


def test_head_works_in_the_stock_segmentor(tiny_rn):
    settings = config(tiny_rn)
    settings['type'] = 'EncoderDecoder'
    clip = settings.pop('clip')
    settings['backbone']['clip'] = settings['decode_head']['clip'] = clip
    torch.manual_seed(0)
    stock = MODELS.build(settings).eval()
    assert type(stock) is EncoderDecoder
    images, samples = batch()
    with torch.no_grad():
        ours = build(tiny_rn).predict(images, copy.deepcopy(samples))
        theirs = stock.predict(images, samples)
    assert all(torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data) for a, b in zip(ours, theirs))


def test_image_encoder_can_be_trained_as_an_ordinary_backbone(tiny_rn):
    encoder = MODELS.build(dict(type='CLIPImageEncoder', clip=tiny_rn, frozen=False, out_indices=(1, 3)))
    first, last, dense = encoder(torch.randn(2, 3, 64, 64))
    assert (first.shape[1], last.shape[1], dense.shape[1]) == (64, 256, 32)
    dense.sum().backward()
    assert next(encoder.tower.parameters()).grad is not None  # of the first convolution
    frozen = MODELS.build(dict(type='CLIPImageEncoder', clip=tiny_rn)).tower.module
    assert all(parameter.grad is None for parameter in frozen.parameters())
    with pytest.raises(UserError, match=r'layers \[4\]'):
        MODELS.build(dict(type='CLIPImageEncoder', clip=tiny_rn, out_indices=(4, )))

"""``test_cfg.refine`` in the segmentors: the same as PAMR of the full-size logits and the image of that size."""
import copy

import pytest
import torch
from fixtures.exports import RESNET, mvp_seg, text_model
from fixtures.refusals import refused
from fixtures.text_models import HEADS, build_segmentor, head_config
from mmengine import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmseg_mvp.apis import export_onnx, to_native
from mmseg_mvp.models.modules.pamr import PAMR, build_refinement

pytestmark = pytest.mark.usefixtures('mmseg_scope')

REFINE = dict(type='PAMR', iterations=3, dilations=(1, 4))
TOY, TOY_NAMES = dict(model='toy-rn', weights='toy'), ['bird', 'rocket', 'flower', 'lamp', 'tree']
WHOLE, SLIDE = dict(mode='whole'), dict(mode='slide', crop_size=(64, 64), stride=(32, 32))


def maskclip(**test_cfg):
    head = dict(type='MultiPromptTextHead', train_classes=TOY_NAMES,
                prompts=dict(type='TemplatePrompts', templates='name'))
    return ConfigDict(type='CLIPEncoderDecoder', clip=TOY, backbone=dict(type='CLIPImageEncoder'), decode_head=head,
                      data_preprocessor=dict(type='mmseg.SegDataPreProcessor'), test_cfg=test_cfg)


def fcn(**test_cfg):
    head = head_config(TOY, train_classes=TOY_NAMES[:3], test_classes=TOY_NAMES, in_channels=16, in_index=1,
                       temperature=0.5, act_cfg=None)
    return build_segmentor(head, 'OpenVocabEncoderDecoder', test_cfg)


MODELS_BY_NAME = {'maskclip': lambda **test_cfg: MODELS.build(maskclip(**test_cfg)), 'fcn': fcn}


def blocks(count=2, height=70, width=90):
    """Images of flat random blocks with some noise, so that colours have borders."""
    torch.manual_seed(2)
    flat = F.interpolate(torch.randn(count, 3, 5, 6), size=(height, width), mode='nearest')
    return flat + 0.1 * torch.randn(count, 3, height, width)


def composed(logits, image):
    """PAMR of logits (C, H, W) by an image of another size."""
    pamr = PAMR(3, (1, 4))
    return pamr(logits, pamr.weights(F.interpolate(image[None], size=logits.shape[1:], mode='bilinear')[0]))


@pytest.mark.parametrize('mode', [WHOLE, SLIDE], ids=['whole', 'slide'])
@pytest.mark.parametrize('name', MODELS_BY_NAME)
@torch.no_grad()
def test_refinement_is_that_of_the_full_size(name, mode):
    """A flipped image with padding, of another original size."""
    meta = dict(ori_shape=(50, 111), img_padding_size=[0, 3, 0, 5], flip=True, flip_direction='horizontal')
    images, samples = blocks(), [SegDataSample(metainfo=meta) for _ in range(2)]
    torch.manual_seed(0)
    plain = MODELS_BY_NAME[name](keep_logits=True, **mode).eval()
    torch.manual_seed(0)
    model = MODELS_BY_NAME[name](keep_logits=True, refine=REFINE, **mode).eval()
    before, after = (one.predict(images, copy.deepcopy(samples)) for one in (plain, model))
    for image, old, new in zip(images, before, after):
        expected = composed(old.seg_logits.data, image[:, :65, :87].flip(2))
        assert torch.allclose(new.seg_logits.data, expected, atol=1e-4)
        assert (new.pred_sem_seg.data[0] != expected.argmax(dim=0)).float().mean() < 2e-3
        assert (new.pred_sem_seg.data != old.pred_sem_seg.data).any()
        chance = expected.softmax(dim=0)
        assert torch.allclose(new.low_res_logits.probability_map(1), chance[1], atol=1e-4)
        assert torch.allclose(new.low_res_logits.probability_map(), chance.amax(dim=0), atol=1e-4)
    expected = torch.stack([composed(*one) for one in zip(plain.inference(images), images)])
    assert torch.allclose(model.inference(images), expected, atol=1e-4)


@torch.no_grad()
def test_presence_scores_are_kept():
    """GPR adds a constant per class, which PAMR keeps: refined logits with it are those without it plus ``log g``."""
    model, images = mvp_seg(TOY, train_classes=TOY_NAMES)[1], blocks(1, 64, 64)
    model.refinement = build_refinement(REFINE)
    presence = model.decode_head.gpr(model.class_maps(images).chunk(2, dim=1)[1])
    with_gpr = model.inference(images)
    model.decode_head.gpr = None
    assert torch.allclose(with_gpr, model.inference(images) + presence[..., None, None], atol=1e-3)


@torch.no_grad()
def test_without_it_predictions_hold_no_image():
    sample, = MODELS.build(maskclip(refine=None, **WHOLE)).eval().predict(blocks(1))
    assert set(sample.low_res_logits.keys()) == {'logits', 'rows', 'columns'}


@torch.no_grad()
def test_views_of_test_time_augmentation_are_refined():
    images = 128 + 60 * blocks(1)
    config = maskclip(refine=REFINE, **WHOLE)
    tta = MODELS.build(dict(type='LowResSegTTAModel', module=config)).eval()
    metas = [dict(ori_shape=(70, 90), flip=flip, flip_direction='horizontal') for flip in (False, True)]
    views = [images, images.flip(3)]
    result, = tta.test_step(dict(inputs=[list(one) for one in views],
                                 data_samples=[[SegDataSample(metainfo=meta)] for meta in metas]))
    norm = tta.module.data_preprocessor
    one, other = (tta.module.inference((view - norm.mean) / norm.std)[0].softmax(dim=0) for view in views)
    expected = (one + other.flip(2)).argmax(dim=0)
    assert (result.pred_sem_seg.data[0] != expected).float().mean() < 2e-3
    assert 'low_res_logits' not in result


@pytest.mark.parametrize('refine, words', [
    ('crf', ["'crf'", "'pamr'", "type='PAMR'"]),
    (True, ['True']),
    (dict(iterations=3), ['iterations', "type='PAMR'"]),
    (dict(type='PAMR', steps=3), ['steps', 'iterations=10']),
    (dict(type='GPR'), ["'GPR'"]),
    (dict(type='PAMR', iterations=0), ['iterations', 'is 0', 'at least 1']),
    (dict(type='PAMR', iterations=2.5), ['iterations', '2.5', 'whole']),
    (dict(type='PAMR', dilations=()), ['dilations', '()']),
    (dict(type='PAMR', dilations=8), ['dilations', 'is 8', 'list']),
    (dict(type='PAMR', dilations='8'), ['dilations', "'8'"]),
    (dict(type='PAMR', dilations=(8, -1)), ['dilations', '-1', 'at least 1']),
    (dict(type='PAMR', dilations=(8, True)), ['dilations', 'True']),
])
def test_wrong_settings(refine, words):
    refused(lambda: MODELS.build(maskclip(refine=refine, **WHOLE)), *words)


def test_exports_refuse_it(tiny_rn, tmp_path):
    cfg, model = text_model(tiny_rn)
    model.refinement = build_refinement('pamr')
    for export in (lambda: to_native(cfg, model), lambda: export_onnx(model, tmp_path / 'a.onnx')):
        refused(export, 'test_cfg.refine', 'refine=None')
    model.refinement, model.test_cfg.class_token_weight = None, 0.2
    refused(lambda: export_onnx(model, tmp_path / 'a.onnx'), 'test_cfg.class_token_weight', 'class_token_weight=None')


def test_a_teacher_that_would_ignore_it_is_refused():
    student = dict(HEADS['TextDeepLabV2Head'], type='TextDeepLabV2Head', train_classes=TOY_NAMES)
    refused(lambda: MODELS.build(dict(
        type='KnowledgeTransfer', backbone=RESNET, unseen=TOY_NAMES[:1], decode_head=student,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor'), teacher=maskclip(refine='pamr', **WHOLE))),
        'teacher', 'test_cfg.refine', 'None')

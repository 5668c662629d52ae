"""``test_cfg.class_token_weight``: the prior against open_clip's own image embedding."""
import json
from pathlib import Path

import pytest
import torch
from fixtures.exports import RESNET
from fixtures.refusals import refused
from fixtures.text_models import head_config
from mmengine import ConfigDict
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_mvp.clip import load_clip
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene

pytestmark = pytest.mark.usefixtures('mmseg_scope')

NAMES = ['cat, kitten', 'dog', 'traffic light', 'sheep']
TOY = dict(model='toy-rn', weights='toy')
SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))


def build(clip, names=NAMES, backbone=dict(type='CLIPImageEncoder'), **test_cfg):
    return MODELS.build(ConfigDict(
        type='CLIPEncoderDecoder', clip=clip, backbone=backbone,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True),
        decode_head=dict(type='MultiPromptTextHead', train_classes=names, scale=100.,
                         prompts=dict(type='TemplatePrompts', templates='name')),
        test_cfg=dict(dict(mode='whole'), **test_cfg))).eval()


def prior(clip, images):
    """Cosines of open_clip's embeddings times 100; the higher of the two wordings of cat: (B, 4)."""
    loaded = load_clip(**clip)
    size = json.loads(Path(clip['model']).read_text())['vision_cfg']['image_size']
    images = F.interpolate(images, size=(size, size), mode='bicubic', antialias=True)
    words = ['cat', 'kitten', 'dog', 'traffic light', 'sheep']
    text = loaded.model.encode_text(loaded.tokenizer(words), normalize=True)
    scores = 100 * loaded.model.encode_image(images, normalize=True) @ text.T
    return torch.cat([scores[:, :2].amax(dim=1, keepdim=True), scores[:, 2:]], dim=1)


@pytest.mark.parametrize('mode', [dict(mode='whole'), SLIDE], ids=['whole', 'slide'])
@torch.no_grad()
def test_each_pixel_is_mixed_with_the_whole_image(tiny_clip, mode):
    torch.manual_seed(0)
    images = torch.randn(2, 3, 96, 128)
    dense, mixed, alone = (build(tiny_clip, class_token_weight=weight, **mode).low_res_logits(images)[0]
                           for weight in (None, 0.3, 1))
    expected = prior(tiny_clip, images)[..., None, None]
    assert torch.allclose(alone, expected.expand_as(dense), atol=2e-3)
    assert torch.allclose(mixed, 0.7 * dense + 0.3 * expected, atol=2e-3)
    assert not torch.allclose(mixed, dense, atol=0.1)
    single = build(tiny_clip, class_token_weight=0.3, **mode).low_res_logits(images[1:])[0]
    assert torch.allclose(single, mixed[1:], atol=2e-3)


@torch.no_grad()
def test_absent_classes_fade():
    """Pixels with the label of a class that is not in the image, on ten pictures of the toy world."""
    scenes = [draw_scene(index, 'val') for index in range(10)]
    data = dict(inputs=[torch.from_numpy(one.image[..., ::-1].copy()).permute(2, 0, 1) for one in scenes])
    absent = []
    for weight in (0, 0.5):
        samples = build(TOY, list(CLASSES), class_token_weight=weight).test_step(data)
        absent.append(sum(~torch.isin(sample.pred_sem_seg.data[0], torch.from_numpy(scene.labels).long())
                          .logical_or(torch.from_numpy(scene.labels) == 255)
                          for sample, scene in zip(samples, scenes)).sum().item())
    assert absent[1] < 0.6 * absent[0]


@pytest.mark.parametrize('weight', [-0.1, 1.5, 'CASS', True])
def test_wrong_weights(tiny_rn, weight):
    refused(lambda: build(tiny_rn, class_token_weight=weight), 'class_token_weight', repr(weight))


def test_models_without_clips_features_refuse_it(tiny_rn):
    head = head_config(tiny_rn)
    student = dict(type='OpenVocabEncoderDecoder', backbone=RESNET, decode_head=head,
                   data_preprocessor=dict(type='mmseg.SegDataPreProcessor'), test_cfg=dict(class_token_weight=0.2))
    refused(lambda: MODELS.build(ConfigDict(student)), 'OpenVocabEncoderDecoder', 'class_token_weight')

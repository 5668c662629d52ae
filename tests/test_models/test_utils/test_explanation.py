"""What the prompts see must add up to what the model predicts."""
import pytest
import torch
from mmengine import ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401

SIZE, ORIGINAL = (64, 96), (40, 60)


def build(clip, test_cfg=None, **head):
    head = dict(dict(prompts=dict(type='LearnedPrompts', context_length=4), gpr=dict(type='GPR')), **head)
    torch.manual_seed(0)
    return MODELS.build(ConfigDict(
        type='CLIPEncoderDecoder', clip=clip, data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        backbone=dict(type='CLIPImageEncoder'), test_cfg=test_cfg or dict(mode='whole'),
        decode_head=dict(type='MultiPromptTextHead', train_classes=['cat', 'dog', 'sheep'], **head))).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def samples():
    return [SegDataSample(metainfo=dict(ori_shape=ORIGINAL, img_shape=SIZE)) for _ in range(2)]


@pytest.mark.parametrize('test_cfg', [dict(mode='whole'), dict(mode='slide', crop_size=(64, 64), stride=(32, 32))])
def test_views_and_presence_add_up_to_the_prediction(tiny_clip, images, samples, test_cfg):
    model = build(tiny_clip, test_cfg)
    explanations = model.explain(images, samples)
    with torch.no_grad():
        predicted = model.predict(images, samples)
    for explanation, sample in zip(explanations, predicted):
        views = torch.stack([explanation.views(index) for index in range(3)], dim=1)
        assert views.shape == (3, 3, *ORIGINAL) and explanation.presence.shape == (3, )
        logits = model.decode_head.logit_scale * views.sum(dim=0) + explanation.presence.log()[:, None, None]
        assert torch.allclose(logits, sample.low_res_logits.resize(), atol=1e-4)


def test_presence_is_the_soft_maximum_of_the_global_view(tiny_rn, images):
    model = build(tiny_rn)
    explanation = model.explain(images[:1])[0]
    flat = explanation.maps[0].flatten(1)
    weights = torch.exp(10 * flat) / torch.exp(10 * flat).sum(1, keepdim=True)
    expected = 1 / (1 + torch.exp(-(flat * weights).sum(1) / 0.1))
    assert torch.allclose(explanation.presence, expected, atol=1e-5)
    resized = F.interpolate(explanation.maps[:1, 2:3], scale_factor=model.backbone.stride, mode='bilinear')
    assert torch.allclose(explanation.global_view(2), resized[0, 0, :SIZE[0], :SIZE[1]], atol=1e-5)
    assert torch.allclose(explanation.global_view(2, step=7), resized[0, 0, :SIZE[0]:7, :SIZE[1]:7], atol=1e-5)


def test_templates_are_one_view_without_a_global_one(tiny_rn, images):
    model = build(tiny_rn, prompts=dict(type='TemplatePrompts', templates=['a {}', 'the {}']), gpr=None)
    explanation = model.explain(images)[1]
    assert explanation.views(1).shape == (1, *SIZE)
    assert explanation.presence is None and explanation.global_view(1) is None


def test_samples_with_a_label_list_are_explained_in_its_words(tiny_rn, images):
    model = build(tiny_rn)
    names = dict(bird=('bird', ), boat=('boat', 'ship'))
    sample = SegDataSample(metainfo=dict(ori_shape=SIZE, img_shape=SIZE, vocabulary=names))
    found = model.explain(images[:1], [sample])[0]
    model.set_classes(['bird', 'boat, ship'])
    assert torch.equal(found.maps, model.explain(images[:1])[0].maps)

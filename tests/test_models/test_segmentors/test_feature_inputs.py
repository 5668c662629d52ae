"""Training on stored features: the loss is that of the images, and tests still take images."""
import pytest
import torch
from fixtures.banks import bank_config
from fixtures.refusals import refused
from fixtures.text_models import batch, build_segmentor, head_config
from mmseg.registry import MODELS

from mmseg_mvp.models.segmentors.feature_inputs import FeatureInputs, accept_features, check_frozen_features


@pytest.fixture
def model(mmseg_scope, tiny_clip):
    torch.manual_seed(0)
    return MODELS.build(bank_config(tiny_clip).model)


def losses(model, data):
    """Losses and the gradient of the contexts."""
    model.zero_grad()
    found = model.loss(**model.data_preprocessor(data, training=True))
    model.parse_losses(found)[0].backward()
    return {**found, 'gradient': model.decode_head.classifier.prompts.contexts.grad.clone()}


def test_losses_of_features_are_those_of_their_images(model):
    expected = losses(model, batch())
    images = model.data_preprocessor(batch(), training=True)['inputs']
    features, = model.backbone(images)
    accept_features(model)
    found = losses(model, dict(features=list(features), data_samples=batch()['data_samples']))
    assert found.keys() == expected.keys() and found['gradient'].any()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6 * float(value.abs().max()))


def test_images_pass_the_former_preprocessor(model):
    expected = model.eval().test_step(batch())
    names, state = dict(model.named_parameters()).keys(), model.state_dict().keys()
    accept_features(model)
    accept_features(model)
    assert isinstance(model.data_preprocessor, FeatureInputs)
    assert not isinstance(model.data_preprocessor.images, FeatureInputs)
    for one, other in zip(model.test_step(batch()), expected):
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
    assert dict(model.named_parameters()).keys() == names and model.state_dict().keys() == state


def test_half_precision_is_widened(model):
    accept_features(model)
    data = model.data_preprocessor(dict(features=[torch.ones(2, 3, 3).half()] * 2, data_samples=[None] * 2), True)
    assert data['inputs'][0].shape == (2, 2, 3, 3) and data['inputs'][0].dtype == torch.float32


@pytest.mark.parametrize(('change', 'words'), [
    (dict(backbone=dict(type='CLIPImageEncoder', frozen=False)), 'frozen is False'),
    (dict(backbone=dict(type='CLIPImageEncoder', out_indices=(0, ))), 'out_indices'),
    (dict(neck=dict(type='FPN', in_channels=[32], out_channels=32, num_outs=1)), 'neck')])
def test_models_with_other_inputs_are_refused(mmseg_scope, tiny_vit, change, words):
    model = MODELS.build(bank_config(tiny_vit, **change).model)
    refused(lambda: accept_features(model), words, '--feature-bank')
    assert not isinstance(model.data_preprocessor, FeatureInputs)


def test_other_segmentors_and_batch_augmentations_are_refused(model, tiny_rn):
    student = build_segmentor(head_config(tiny_rn))
    refused(lambda: check_frozen_features(student), 'OpenVocabEncoderDecoder', 'PyramidBackbone')
    check_frozen_features(model)
    model.data_preprocessor.batch_augments = [dict(type='Mixup')]
    refused(lambda: check_frozen_features(model), 'batch_augments')

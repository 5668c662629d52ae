"""Normalisation of images by the values of the CLIP backbone."""
import pytest
import torch
from fixtures.logs import record_logs
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_mvp.clip import load_clip
from mmseg_mvp.models.segmentors.normalisation import normalisation_of, warn_of_other_normalisation, with_normalisation

HALF = dict(mean=(.5, .5, .5), std=(.25, .25, .25))
OPENAI = dict(mean=[122.7709, 116.7460, 104.0937], std=[68.5005, 66.6322, 70.3232])


@pytest.fixture
def said(monkeypatch):
    return record_logs(monkeypatch, 'mmseg_mvp.models.segmentors.normalisation')


def segmentor(clip, kind='CLIPEncoderDecoder', **preprocessor):
    text = kind == 'CLIPEncoderDecoder'
    head = dict(type='MultiPromptTextHead', train_classes='cat, dog', prompts=dict(type='TemplatePrompts')) if text \
        else dict(type='FCNHead', in_channels=32, in_index=-1, channels=8, num_classes=2, num_convs=1,
                  concat_input=False, norm_cfg=None)
    return MODELS.build(dict(
        type=kind, **dict(clip=clip) if text else {}, decode_head=head,
        backbone=dict(type='CLIPImageEncoder', **{} if text else dict(clip=clip)),
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True, **preprocessor)))


@pytest.mark.parametrize('preprocessor', [{}, dict(mean=None, std=None)])
@pytest.mark.parametrize('setting', [{}, HALF])
def test_values_that_are_not_set_are_those_of_the_clip(tiny_vit, said, preprocessor, setting):
    clip = {**tiny_vit, **setting}
    model = segmentor(clip, **preprocessor)
    assert not said
    pixels = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)  # BGR
    sample = SegDataSample(metainfo=dict(ori_shape=(16, 16), img_shape=(16, 16)))
    images = model.data_preprocessor(dict(inputs=[pixels], data_samples=[sample]))['inputs']
    loaded = load_clip(**clip)
    mean, std = (torch.tensor(values)[:, None, None] for values in (loaded.mean, loaded.std))
    assert torch.allclose(images[0], (pixels.flip(0) / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize('kind', ['CLIPEncoderDecoder', 'EncoderDecoder'])
@pytest.mark.parametrize('values, told', [
    (OPENAI, False), (dict(mean=[122.77, 116.75, 104.09], std=[68.5, 66.63, 70.32]), False),
    (dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]), True), (dict(OPENAI, std=[127.5] * 3), True)])
def test_other_values_are_told(tiny_vit, said, values, told, kind):
    model = segmentor(tiny_vit, kind, **values)
    if kind == 'EncoderDecoder':
        warn_of_other_normalisation(model)  # as the tools do
    assert len(said) == told
    if told:
        assert f'was trained with {OPENAI}' in said[0] and 'clip.mean' in said[0]


def test_no_normalisation_at_all_is_told(tiny_vit, said):
    MODELS.build(dict(type='CLIPEncoderDecoder', clip=tiny_vit, backbone=dict(type='CLIPImageEncoder'),
                      decode_head=dict(type='MultiPromptTextHead', train_classes='cat, dog',
                                       prompts=dict(type='TemplatePrompts'))))
    assert "{'mean': None, 'std': None}" in said[0]


def test_other_backbones_keep_their_values():
    preprocessor = dict(type='SegDataPreProcessor')
    assert normalisation_of(dict(type='ResNet', depth=50)) is None
    assert with_normalisation(preprocessor, None) is preprocessor
    assert with_normalisation(None, OPENAI) is None

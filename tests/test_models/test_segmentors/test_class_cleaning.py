"""``test_cfg.prompt_denoise`` and ``key_smooth`` in segmentors, by the equations with all weights."""
import pytest
import torch
from fixtures.exports import RESNET
from fixtures.proxies import DINO
from fixtures.refusals import refused
from fixtures.text_models import HEADS, build_segmentor, head_config
from mmengine import Config, ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmseg_mvp.apis import OpenVocabInferencer, export_onnx, to_native
from mmseg_mvp.clip import load_clip
from mmseg_mvp.datasets.toy.scenes import draw_scene

pytestmark = pytest.mark.usefixtures('mmseg_scope')

NAMES = ['house, ice cream', 'tree', 'boat, car', 'bird']
SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
PIXELS = dict(SLIDE, stitch='pixels')
SOFT = 20.  # scale at which the toy CLIPs are unsure


@pytest.fixture(params=['toy-rn', 'toy-vit'])
def toy(request):
    """The ``clip`` config of a shipped CLIP; features of random weights hardly differ between positions."""
    return dict(model=request.param, weights='toy')


@pytest.fixture
def toy_vit():
    return dict(model='toy-vit', weights='toy')


def pictures(count, width=64):
    """Normalised pictures of the toy world, (B, 3, 64, width)."""
    scenes = [torch.from_numpy(draw_scene(index, 'val').image) for index in range(2 * count)]
    images = torch.stack([torch.cat(scenes[index:index + 2], dim=1) for index in range(0, 2 * count, 2)])
    return (images.permute(0, 3, 1, 2)[..., :width].float() / 255 - 0.45) / 0.27


def config(clip, names=NAMES, backbone=dict(type='CLIPImageEncoder'), head={}, **test_cfg):
    return ConfigDict(
        type='CLIPEncoderDecoder', clip=clip, backbone=backbone,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True),
        decode_head=dict(dict(type='MultiPromptTextHead', train_classes=names, scale=SOFT,
                              prompts=dict(type='TemplatePrompts', templates='name')), **head),
        test_cfg=dict(dict(mode='whole'), **test_cfg))


def build(*args, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(config(*args, **kwargs)).eval()


@torch.no_grad()
def own_keys(clip, images):
    """Unit keys (B, K, h, w) of images; test_image_tower.py holds them against open_clip's modules."""
    keys, _ = load_clip(**clip).dense_tower('maskclip')(images, keys=True)
    return F.normalize(keys, dim=1)


def smoothed(logits, keys, threshold):
    """The equation with the whole matrix of weights."""
    old, keys = logits.flatten(2).softmax(1), keys.flatten(2)
    weights = torch.einsum('bkm,bkn->bmn', keys, keys).clamp(min=0)
    new = torch.einsum('bmn,bsn->bsm', weights / weights.sum(2, keepdim=True), old)
    return torch.where(old.amax(1, keepdim=True) < threshold, new, old).reshape(logits.shape)


@torch.no_grad()
def test_key_smoothing_of_whole_images(toy):
    images = pictures(2)
    plain = build(toy).low_res_logits(images)[0]
    threshold = float(plain.softmax(1).amax(1).median())
    for value in (threshold, 1):
        found = build(toy, key_smooth=value).low_res_logits(images)[0].exp()
        expected = smoothed(plain, own_keys(toy, images), value)
        assert torch.allclose(found, expected, atol=1e-4)
        assert (found - plain.softmax(1)).abs().max() > 1e-2


@torch.no_grad()
def test_key_smoothing_of_windows(toy_vit):
    """Keys of overlapping windows are averaged as the features are; in pixels, each window has its own positions."""
    images = pictures(1, 96)
    windows = [own_keys(toy_vit, images[..., start:start + 64]) for start in (0, 32)]
    keys = F.normalize(F.pad(windows[0], (0, 4)) + F.pad(windows[1], (4, 0)), dim=1)
    for settings, own in ((SLIDE, keys), (PIXELS, torch.cat(windows, dim=-1))):
        plain = build(toy_vit, **settings).low_res_logits(images)[0]
        found = build(toy_vit, key_smooth=1, **settings).low_res_logits(images)[0]
        assert torch.allclose(found.exp(), smoothed(plain, own, 1), atol=1e-4)


@pytest.mark.parametrize('settings', [{}, SLIDE, PIXELS], ids=['whole', 'features', 'pixels'])
@pytest.mark.parametrize('words', [False, True])
@torch.no_grad()
def test_denoising_counts_classes_with_all_their_words(toy, settings, words):
    images = pictures(2, 96)
    settings = dict(settings, word_softmax=words)
    plain = build(toy, **settings).low_res_logits(images)[0]
    owner = [0, 0, 1, 2, 2, 3] if words else [0, 1, 2, 3]
    largest = plain.softmax(1).flatten(2).amax(2)
    classes = torch.stack([largest[:, [row for row, one in enumerate(owner) if one == label]].amax(1)
                           for label in range(4)], dim=1)
    threshold = float(classes[0].sort().values[1]) + 1e-4  # two classes of the first image are below it
    found = build(toy, prompt_denoise=threshold, **settings).low_res_logits(images)[0]
    for one, before, kept in zip(found, plain, classes >= threshold):
        for row, label in enumerate(owner):
            absent = not kept[label] and kept.any()
            assert (one[row] == -3e4).all() if absent else torch.allclose(one[row], before[row], atol=1e-4)
    assert (found[0] == -3e4).any() and not (found[0] == -3e4).all()


@torch.no_grad()
def test_denoising_precedes_smoothing_and_labels_follow(toy_vit):
    images = pictures(1)
    plain = build(toy_vit).low_res_logits(images)[0]
    largest = plain.softmax(1).flatten(2).amax(2)[0]
    threshold = float(largest.sort().values[2]) - 1e-4
    kept = largest >= threshold
    model = build(toy_vit, prompt_denoise=threshold, key_smooth=1)
    expected = smoothed(plain.masked_fill(~kept[:, None, None], float('-inf')), own_keys(toy_vit, images), 1)
    found = model.low_res_logits(images)[0]
    assert 0 < int((~kept).sum()) < 4 and torch.allclose(found.exp(), expected, atol=1e-4)
    sample, = model.predict(images, [SegDataSample(metainfo=dict(ori_shape=(50, 70), img_shape=(64, 64)))])
    assert sample.pred_sem_seg.data.shape == (1, 50, 70)
    assert set(sample.pred_sem_seg.data.unique().tolist()) <= set(kept.nonzero()[:, 0].tolist())
    assert torch.allclose(sample.low_res_logits.probabilities().sum(0), torch.ones(50, 70), atol=1e-4)


@torch.no_grad()
def test_with_the_other_settings(toy_vit):
    """Windows in pixels, words, prior of presence, threshold and refinement at once."""
    settings = dict(PIXELS, word_softmax=True, class_token_weight=0.3, prob_thd=0.1, bg_idx=3,
                    refine=dict(type='PAMR', iterations=1), prompt_denoise=0.2, key_smooth=0.9)
    sample, = build(toy_vit, **settings).predict(pictures(1, 76))
    assert sample.pred_sem_seg.data.shape == (1, 64, 76)
    probabilities = sample.low_res_logits.probabilities()
    assert torch.isfinite(probabilities).all() and 0 <= probabilities.min() and probabilities.max() <= 1 + 1e-5


@torch.no_grad()
def test_batches_and_new_classes(toy_vit):
    """A batch is cleaned image by image, and a new vocabulary needs no change."""
    model = build(toy_vit, word_softmax=True, prompt_denoise=0.3, key_smooth=1)
    images = pictures(2)
    both = model.low_res_logits(images)[0]
    assert torch.allclose(both[1:], model.low_res_logits(images[1:])[0], atol=1e-3)
    model.set_classes(['cup, key', 'fish', 'lamp'])
    assert model.low_res_logits(images)[0].shape[1] == 4  # words


@torch.no_grad()
def test_variants_and_autocast_have_keys(toy_vit):
    images = pictures(1)
    for dense in ('value', 'naclip', 'sclip'):
        backbone = dict(type='CLIPImageEncoder', dense=dense, out_indices=(1, ))
        plain, model = (build(toy_vit, backbone=backbone, **settings) for settings in ({}, dict(key_smooth=1)))
        expected = smoothed(plain.low_res_logits(images)[0], own_keys(toy_vit, images), 1)
        assert torch.allclose(model.low_res_logits(images)[0].exp(), expected, atol=1e-4)
    backbone = dict(type='CLIPImageEncoder', autocast='bfloat16')
    logits = build(toy_vit, backbone=backbone, key_smooth=1).low_res_logits(images)[0]
    assert logits.dtype == torch.float32 and torch.isfinite(logits).all()


def test_the_inferencer(toy_vit):
    cfg = dict(model=config(toy_vit, head=dict(scale=100.), prompt_denoise=0.999, key_smooth=1).to_dict(),
               test_pipeline=[dict(type='Resize', scale=(96, 64), keep_ratio=True), dict(type='PackSegInputs')])
    segment = OpenVocabInferencer(cfg, device='cpu')
    image = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()
    plain = segment.model.test_cfg.copy()
    segment.model.test_cfg.update(prompt_denoise=None, key_smooth=None)
    before = segment(image).scores()
    segment.model.test_cfg.update(plain)
    out = segment(image)
    assert out.scores().shape == before.shape and abs(out.scores() - before).max() > 1e-3
    assert len(segment(image, classes=['cup, key', 'fish', 'lamp']).scores()) == 3


@pytest.mark.parametrize('key', ['prompt_denoise', 'key_smooth'])
def test_values_and_models_that_do_not_fit(tiny_vit, tiny_rn, tmp_path, key):
    for value in (-0.1, 1.5, '0.5', True):
        refused(lambda: build(tiny_vit, **{key: value}), key, repr(value))
    refused(lambda: build_segmentor(head_config(tiny_rn), mode={'mode': 'whole', key: 0.5}), key, 'CLIPEncoderDecoder')
    other = dict(backbone=RESNET, head=dict(in_channels=32), word_softmax=True)
    refused(lambda: build(tiny_rn, **other, **{key: 0.5}), key, 'CLIPImageEncoder')
    model = build(tiny_vit, [one.partition(',')[0] for one in NAMES], **{key: 0.5})
    cfg = Config(dict(model=config(tiny_vit, **{key: 0.5})))
    for export in (lambda: export_onnx(model, tmp_path / 'a.onnx'), lambda: to_native(cfg, model)):
        refused(export, f'test_cfg.{key}', 'None')
    student = dict(HEADS['TextDeepLabV2Head'], type='TextDeepLabV2Head', train_classes=['cat', 'dog'], clip=tiny_vit)
    refused(lambda: MODELS.build(ConfigDict(
        type='KnowledgeTransfer', backbone=RESNET, unseen=['cat'], decode_head=student,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        teacher=config(tiny_vit, ['cat', 'dog'], **{key: 0.5}))), 'teacher', f'test_cfg.{key}', 'None')


def test_towers_without_keys(tiny_vit):
    proxy = dict(type='CLIPImageEncoder', dense=dict(type='proxy', model=DINO, pretrained=False))
    refused(lambda: build(tiny_vit, backbone=proxy, key_smooth=1), 'key_smooth', 'proxy', 'maskclip')
    model = build(tiny_vit, backbone=proxy, prompt_denoise=0.5)
    model.test_cfg.key_smooth = 1
    refused(lambda: model.low_res_logits(torch.randn(1, 3, 64, 64)), 'key_smooth', 'proxy')

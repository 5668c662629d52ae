"""``model.test_cfg``: words, thresholds and windows in segmentors; what is unknown or does not fit is refused."""
import pytest
import torch
from fixtures.docs import ROOT
from fixtures.exports import RESNET
from fixtures.refusals import refused
from fixtures.text_models import HEADS, build_segmentor, head_config
from mmengine import Config, ConfigDict
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_mvp.apis import OpenVocabInferencer, export_onnx, to_native
from mmseg_mvp.models.segmentors.settings import KEYS

pytestmark = pytest.mark.usefixtures('mmseg_scope')

CLASSES = ['background = sky, wall, floor', 'cat, kitten', 'dog', 'sheep, lamb, ram']
WORDS = ['sky', 'wall', 'floor', 'cat', 'kitten', 'dog', 'sheep', 'lamb', 'ram']
OWNER = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 3])
SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))
PIXELS = dict(SLIDE, stitch='pixels')
WHOLE = dict(mode='whole')
SOFT = dict(scale=5.)  # no probability is rounded to 1
LEARNED = dict(type='LearnedPrompts', num_prompts=2, context_length=4)


def config(clip, classes=CLASSES, prompts=dict(type='TemplatePrompts', templates='name'), head={}, **test_cfg):
    torch.manual_seed(0)
    return ConfigDict(
        type='CLIPEncoderDecoder', clip=clip, backbone=dict(type='CLIPImageEncoder'),
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True),
        decode_head=dict(dict(type='MultiPromptTextHead', train_classes=classes, scale=50., prompts=prompts), **head),
        test_cfg=test_cfg)


def build(*args, **kwargs):
    return MODELS.build(config(*args, **kwargs)).eval()


def picture(height=96, width=128):
    torch.manual_seed(1)
    return torch.nn.functional.interpolate(torch.rand(1, 3, 6, 8) * 255, (height, width))[0].byte()


def predict(model, *vocabularies):
    images = [picture() for _ in vocabularies or [None]]
    metas = [dict(ori_shape=(70, 90), img_shape=(96, 128), **(dict(vocabulary=one) if one else {}))
             for one in vocabularies or [None]]
    with torch.no_grad():
        return model.test_step(dict(inputs=images, data_samples=[SegDataSample(metainfo=meta) for meta in metas]))


@pytest.mark.parametrize('settings', [
    WHOLE, SLIDE, PIXELS, dict(WHOLE, class_token_weight=0.3), dict(PIXELS, class_token_weight=0.3),
    dict(SLIDE, refine=dict(type='PAMR', iterations=2)), dict(PIXELS, refine=dict(type='PAMR', iterations=2))], ids=str)
def test_words_are_classes_of_their_own_until_the_softmax(tiny_vit, settings):
    """A model whose classes are the words has the same scores; their softmax and maxima are taken here."""
    words = predict(build(tiny_vit, WORDS, **settings))[0].low_res_logits.resize().softmax(dim=0)
    expected = torch.stack([words[OWNER == label].amax(dim=0) for label in range(4)])
    sample, = predict(build(tiny_vit, word_softmax=True, **settings))
    assert torch.allclose(sample.low_res_logits.probabilities(), expected, atol=1e-4)
    assert (sample.pred_sem_seg.data[0] == expected.argmax(dim=0)).float().mean() > 0.999
    thd = float(expected.amax(dim=0).median()) + 1e-4
    sample, = predict(build(tiny_vit, word_softmax=True, prob_thd=thd, bg_idx=0, **settings))
    labels = expected.argmax(dim=0).masked_fill(expected.amax(dim=0) < thd, 0)
    assert (sample.pred_sem_seg.data[0] == labels).float().mean() > 0.999 and not (labels == expected.argmax(0)).all()


@pytest.mark.parametrize('fusion, gpr', [('sum', None), ('logsumexp', None), ('sum', dict(type='GPR'))])
@torch.no_grad()
def test_words_of_learned_prompts(tiny_vit, fusion, gpr):
    logits = [build(tiny_vit, classes, LEARNED, dict(fusion=fusion, gpr=gpr), **WHOLE, **words).low_res_logits(
        torch.ones(1, 3, 64, 64))[0] for classes, words in ((WORDS, {}), (CLASSES, dict(word_softmax=True)))]
    assert logits[0].shape == (1, 9, 4, 4) and torch.allclose(*logits, atol=1e-4)


@torch.no_grad()
def test_windows_in_pixels_are_mmsegs(tiny_clip):
    """``stitch='pixels'`` is mmseg's sliding inference of the same model; stitched features are not."""
    image = torch.randn(1, 3, 90, 130)
    ours = build(tiny_clip, CLASSES, **PIXELS)
    expected = super(type(ours).__mro__[1], ours).slide_inference(image, [dict(img_shape=(90, 130))])
    assert torch.allclose(ours.inference(image), expected, atol=2e-3)
    features = build(tiny_clip, CLASSES, **SLIDE).inference(image)
    assert features.shape == expected.shape and not torch.allclose(features, expected, atol=0.03)


@torch.no_grad()
def test_explanations_of_windows_in_pixels_add_up(tiny_vit):
    model = build(tiny_vit, WORDS, **PIXELS)
    explained, = model.explain(torch.ones(1, 3, 96, 128).normal_(), [SegDataSample(metainfo=dict(ori_shape=(70, 90)))])
    assert explained.views(2).shape == (1, 70, 90)
    sample, = predict(model)
    explained, = model.explain(**model.data_preprocessor(dict(inputs=[picture()], data_samples=[sample]), False))
    assert torch.allclose(50 * explained.views(4)[0], sample.low_res_logits.resize()[4], atol=2e-3)


def test_thresholds_in_a_segmentor_without_clips_features(tiny_rn):
    plain = predict(build_segmentor(head_config(tiny_rn)).eval())[0].low_res_logits.probabilities()
    values, labels = plain.max(dim=0)
    thd = float(values.median()) + 1e-4
    model = build_segmentor(head_config(tiny_rn), mode=dict(mode='whole', prob_thd=thd, bg_idx=4)).eval()
    assert torch.equal(predict(model)[0].pred_sem_seg.data[0], labels.masked_fill(values < thd, 4))


@pytest.mark.parametrize('settings', [
    dict(prob_thd=0.45), dict(area_thd=0.3), dict(prob_thd=0.4, area_thd=0.1)], ids=str)
def test_a_batch_of_several_vocabularies(tiny_rn, settings):
    """Each sample is decided by its own list, as alone; the background is found in each by its name."""
    lists = [{name: (name, ) for name in names} for names in (['dog', 'sheep'], ['sheep', 'cat', 'tree', 'dog'])]
    head = head_config(tiny_rn, prompts=dict(type='TemplatePrompts', templates='name'), temperature=0.5)
    model = build_segmentor(head, mode=dict(mode='whole', bg_idx=0, **settings)).eval()  # sheep
    together = [sample.pred_sem_seg.data for sample in predict(model, *lists)]
    alone = [predict(model, one)[0] for one in lists]
    for found, sample, background in zip(together, alone, (1, 0)):
        assert torch.equal(found, sample.pred_sem_seg.data)
        model.test_cfg.update(prob_thd=None, area_thd=None)
        plain = predict(model, sample.metainfo['vocabulary'])[0]
        model.test_cfg.update(dict(prob_thd=None, area_thd=None), **settings)
        if settings == dict(prob_thd=0.45):
            values, labels = plain.low_res_logits.probabilities().max(dim=0)
            assert torch.equal(found[0], labels.masked_fill(values < 0.45, background))


def test_the_background_is_found_by_its_name(tiny_vit):
    model = build(tiny_vit, head=SOFT, word_softmax=True, prob_thd=1., bg_idx=0, **WHOLE)
    assert set(predict(model)[0].pred_sem_seg.data.unique().tolist()) == {0}
    model.set_classes(['zebra', 'horse, mare', 'background'])
    assert set(predict(model)[0].pred_sem_seg.data.unique().tolist()) == {2}
    assert torch.equal(predict(model, {'bus': ('bus', ), 'background': ('background', )})[0].pred_sem_seg.data.unique(),
                       torch.tensor([1]))
    refused(lambda: model.set_classes('zebra, horse'), 'background', 'prob_thd=1.0', 'prob_thd', 'None')
    assert list(model.decode_head.classifier.test_vocabulary) == ['zebra', 'horse', 'background']
    refused(lambda: predict(model, {'bus': ('bus', ), 'car': ('car', )}), 'background', 'add it')


def test_the_inferencer(tiny_vit):
    cfg = dict(model=config(tiny_vit, head=SOFT, word_softmax=True, prob_thd=1., bg_idx=0, **PIXELS).to_dict(),
               test_pipeline=[dict(type='Resize', scale=(128, 96), keep_ratio=True), dict(type='PackSegInputs')])
    segment = OpenVocabInferencer(cfg, device='cpu')
    image = picture().permute(1, 2, 0).numpy()
    out = segment(image)
    assert out.present() == ['background'] and out.scores().shape == (4, 96, 128)
    words = segment(image, classes=[*WORDS, 'background']).scores()
    assert segment(image, classes=[*CLASSES[1:], 'background']).present() == ['background']
    refused(lambda: segment(image, classes='cat, dog'), 'background', 'add it')
    assert words.shape[0] == 10 and (out.score('cat') <= out.scores().max(axis=0) + 1e-6).all()
    assert segment(image, threshold=0.99).present() == []


@pytest.mark.parametrize('key, nearest', [
    ('prob_thresh', 'prob_thd'), ('mod', 'mode'), ('crop', 'crop_size'), ('refinement', 'refine'),
    ('bg_index', 'bg_idx'), ('logit_scale', 'model.decode_head.scale'), ('slide_stride', 'stride'),
    ('pamr', 'refine'), ('arean_thd', 'area_thd')])
def test_unknown_settings_are_refused_with_the_nearest(tiny_vit, tiny_rn, key, nearest):
    refused(lambda: build(tiny_vit, **{'mode': 'whole', key: 0.1}), repr(key), repr(nearest))
    refused(lambda: build_segmentor(head_config(tiny_rn), mode={'mode': 'whole', key: 1}), repr(key), repr(nearest))
    absent = dict(model='ViT-B-16-quickgelu', weights='/absent.pt')  # the setting is refused before weights are loaded
    refused(lambda: build(absent, **{'mode': 'whole', key: 0.1}), repr(key), repr(nearest))


@pytest.mark.parametrize('settings, words', [
    (dict(prob_thd=0.1), ('prob_thd', 'bg_idx')), (dict(area_thd=0.1), ('area_thd', 'bg_idx')),
    (dict(prob_thd=1.1, bg_idx=0), ('prob_thd', '1.1')), (dict(prob_thd='0.1', bg_idx=0), ('prob_thd', "'0.1'")),
    (dict(area_thd=-1, bg_idx=0), ('area_thd', '-1')), (dict(prob_thd=0.1, bg_idx=4), ('bg_idx is 4', '4 classes')),
    (dict(prob_thd=0.1, bg_idx=-1), ('bg_idx', '-1')), (dict(prob_thd=0.1, bg_idx=True), ('bg_idx', 'True')),
    (dict(word_softmax='yes'), ('word_softmax', "'yes'")), (dict(stitch='pixel'), ('stitch', 'pixels')),
    (dict(keep_logits=1), ('keep_logits', '1')), (dict(mode='slide'), ('crop_size', 'None')),
    (dict(mode='slide', crop_size=64, stride=(32, 32)), ('crop_size', '64')),
    (dict(mode='slide', crop_size=(64, 0), stride=(32, 32)), ('crop_size', '0')),
    (dict(mode='slide', crop_size=(64, 64), stride=(65, 32)), ('stride', 'gaps'))], ids=str)
def test_values_that_are_not_valid(tiny_vit, settings, words):
    refused(lambda: build(tiny_vit, **dict(WHOLE, **settings)), 'test_cfg', *words)


def test_parts_that_do_not_fit(tiny_vit, tiny_rn):
    refused(lambda: build(tiny_vit, head=dict(synonyms='mean'), word_softmax=True, **WHOLE), 'word_softmax', "'max'")
    refused(lambda: build(tiny_vit, prompts=LEARNED, head=dict(gpr=dict(type='GPR')), **PIXELS), 'GPR', "'features'")
    for settings in (dict(word_softmax=True), dict(stitch='features')):
        refused(lambda: build_segmentor(head_config(tiny_rn), mode=dict(WHOLE, **settings)), next(iter(settings)),
                'CLIPEncoderDecoder')


@pytest.mark.parametrize('settings', [
    dict(word_softmax=True), dict(prob_thd=0.1, bg_idx=0), dict(area_thd=0.1, bg_idx=0)])
def test_exports_refuse_decisions(tiny_vit, tmp_path, settings):
    cfg = config(tiny_vit, [one.partition(',')[0] for one in CLASSES[1:]], **WHOLE)
    model = MODELS.build(cfg).eval()
    model.test_cfg.update(settings)
    for export in (lambda: export_onnx(model, tmp_path / 'a.onnx'), lambda: to_native(Config(dict(model=cfg)), model)):
        refused(export, f'test_cfg.{next(iter(settings))}', 'None')


@pytest.mark.parametrize('settings', [dict(prob_thd=0.1, bg_idx=0), PIXELS, dict(WHOLE, word_softmax=True)], ids=str)
def test_teachers_refuse_decisions(tiny_vit, settings):
    names = ['cat', 'dog', 'sheep']
    student = dict(HEADS['TextDeepLabV2Head'], type='TextDeepLabV2Head', train_classes=names, clip=tiny_vit)
    refused(lambda: MODELS.build(ConfigDict(
        type='KnowledgeTransfer', backbone=RESNET, unseen=names[:1], decode_head=student,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor'),
        teacher=config(tiny_vit, names, **dict(WHOLE, **settings)))), 'teacher', 'test_cfg.', 'None')


def test_every_setting_is_documented():
    page = (ROOT / 'docs' / 'training_free.md').read_text()
    assert all(f'`{key}`' in page for key in KEYS)

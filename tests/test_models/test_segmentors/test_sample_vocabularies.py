"""Samples with their own vocabularies: scores, losses, predictions and memory."""
import pytest
import torch
from fixtures.text_models import ALL, SEEN, build_segmentor, head_config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextClassifier, TextLayer
from mmseg_mvp.models.text import text_classifier
from mmseg_mvp.models.text.text_layer import NEVER

LISTS = [
    {'cat': ('cat', ), 'dog': ('dog', 'puppy')},
    {name: (name, ) for name in ALL},
    {'sky': ('sky', 'heaven'), 'sea': ('sea', ), 'x': ('boat', )},
]
TEMPLATES = dict(type='TemplatePrompts', templates='name')


def name_classes(classifier, classes):
    classifier.test_vocabulary = classifier.read_vocabulary(classes)


def layer_of(clip, **kwargs):
    torch.manual_seed(0)
    return TextLayer(TextClassifier(clip, TEMPLATES, SEEN, ALL), 32, temperature=0.5, **kwargs)


def samples(lists, size=(64, 64)):
    """A sample for each list, a third of its pixels ignored; one for None carries no list."""
    torch.manual_seed(1)
    labels = [torch.randint(0, len(names or SEEN), (1, *size)).where(torch.rand(1, *size) > 0.3, 255)
              for names in lists]
    meta = dict(ori_shape=size, img_shape=size, img_path='x.jpg')
    return [SegDataSample(gt_sem_seg=PixelData(data=label),
                          metainfo=dict(meta, vocabulary=names) if names else meta)
            for label, names in zip(labels, lists)]


def build(clip, **kwargs):
    model = build_segmentor(head_config(clip, prompts=TEMPLATES, temperature=0.5), **kwargs)
    return model.eval()  # norms that see one image or three alike


@torch.no_grad()
@pytest.mark.parametrize('regularization', [None, dict(type='SpatialRegularization', depth=2)])
def test_each_sample_is_scored_against_its_list(tiny_clip, regularization):
    layer, features = layer_of(tiny_clip, regularization=regularization), torch.randn(3, 32, 4, 5)
    with layer.classifier.using(LISTS):
        found = layer(features)
    assert found.shape == (3, 5, 4, 5)
    for index, names in enumerate(LISTS):
        name_classes(layer.classifier, [', '.join(wordings) if name == wordings[0] else f'{name} = {wordings[0]}'
                                      for name, wordings in names.items()])
        layer.eval()
        assert torch.allclose(found[index, :len(names)], layer(features)[index], atol=1e-5)
        assert (found[index, len(names):] == NEVER).all()
    assert torch.equal(layer.train()(features), layer(features))  # and the training names are back
    assert layer(features).shape[1] == len(SEEN)


def test_the_loss_is_that_of_the_samples_apart(tiny_rn):
    model, images = build(tiny_rn), torch.randn(3, 3, 64, 64)
    data = samples(LISTS)
    found = model(images, data, mode='loss')
    pixels = [int((sample.gt_sem_seg.data != 255).sum()) for sample in data]
    total = 0
    for image, sample, count, names in zip(images, data, pixels, LISTS):
        with model.decode_head.classifier.using([names]):
            logits = model.decode_head(model.backbone(image[None]))
        logits = F.interpolate(logits, (64, 64), mode='bilinear')
        total = total + F.cross_entropy(logits, sample.gt_sem_seg.data, ignore_index=255, reduction='sum')
    assert found['decode.loss_seg'].item() == pytest.approx((total / sum(pixels)).item(), rel=1e-5)
    found['decode.loss_seg'].backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in model.decode_head.parameters())


@torch.no_grad()
@pytest.mark.parametrize('mode', [dict(mode='whole'), dict(mode='slide', crop_size=(48, 48), stride=(32, 32))])
def test_predictions_are_among_the_samples_names(tiny_rn, mode):
    model, images = build(tiny_rn, mode=mode), torch.randn(3, 3, 64, 64)
    found = model(images, samples(LISTS), mode='predict')
    for image, sample, names in zip(images, found, LISTS):
        alone = model(image[None], samples([names]), mode='predict')[0]
        assert torch.equal(sample.pred_sem_seg.data, alone.pred_sem_seg.data)
        logits, own = sample.low_res_logits.logits, alone.low_res_logits.logits
        assert torch.allclose(logits[:len(names)], own, atol=1e-4) and len(own) == len(names)
        assert sample.pred_sem_seg.data.max() < len(names) and (logits[len(names):] < 0.99 * NEVER).all()
    assert (model.out_channels == len(ALL)
            and model(images, mode='predict')[0].low_res_logits.logits.shape[0] == len(ALL))


def test_each_list_is_encoded_once(tiny_rn, monkeypatch):
    layer, calls = layer_of(tiny_rn), []
    forward = type(layer.classifier.prompts).forward
    monkeypatch.setattr(type(layer.classifier.prompts), 'forward', lambda self, x: calls.append(x) or forward(self, x))
    for _ in range(3):
        with layer.classifier.using(LISTS):
            layer(torch.randn(3, 32, 2, 2))
    assert len(calls) == 3
    monkeypatch.setattr(text_classifier, 'MAX_CACHED', 3 * 32)  # the last list alone fills it
    for names in LISTS:
        with layer.classifier.using([{**names, 'new': ('new', )}]):
            layer(torch.randn(1, 32, 2, 2))
    assert len(layer.classifier._cache) == 1


def test_what_can_not_be_scored_is_named(tiny_rn):
    model, images = build(tiny_rn), torch.randn(2, 3, 64, 64)
    with pytest.raises(UserError, match='1 of the 2 samples.*no vocabulary.*PackVocabulary'):
        model(images, samples([LISTS[0], None]), mode='loss')
    wrong = samples(LISTS[:2])
    wrong[0].gt_sem_seg.data[0, 3, 3] = 4
    with pytest.raises(UserError, match='x.jpg has the label 4, but its vocabulary has 2 names'):
        model(images, wrong, mode='loss')
    stock = build_segmentor(dict(type='FCNHead', in_channels=64, in_index=3, channels=8, num_classes=3))
    with pytest.raises(UserError, match='FCNHead does not classify by text'):
        stock(images, samples(LISTS[:2]), mode='loss')


@torch.no_grad()
def test_mvp_segs_head_takes_batches_of_one_list(tiny_rn):
    model = build_segmentor(
        dict(type='MultiPromptTextHead', clip=tiny_rn, train_classes=SEEN, in_channels=64, in_index=3,
             prompts=dict(type='LearnedPrompts', num_prompts=2, context_length=4)),
        name='OpenVocabEncoderDecoder').eval()
    images = torch.randn(2, 3, 64, 64)
    found = model(images, samples([LISTS[1]] * 2), mode='predict')
    assert found[0].low_res_logits.logits.shape[0] == len(ALL)
    with pytest.raises(UserError, match='different vocabularies'):
        model(images, samples(LISTS[:2]), mode='predict')


def test_shared_wordings_are_reported(tiny_rn, monkeypatch):
    layer, messages = layer_of(tiny_rn), []
    monkeypatch.setattr(text_classifier, 'print_log', lambda text, *args: messages.append(text))
    name_classes(layer.classifier, ['traffic_light', ' Traffic  light', 'pet, dog', 'dog, puppy', 'other'])
    assert len(messages) == 1 and "'traffic light': ['traffic_light', ' Traffic  light']" in messages[0]
    assert "'dog': ['pet', 'dog']" in messages[0] and 'other' not in messages[0]

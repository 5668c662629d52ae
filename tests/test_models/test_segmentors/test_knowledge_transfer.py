"""Knowledge transfer: pseudo labels against loops over pixels, phases, and what of the teacher stays untouched."""
import copy

import pytest
import torch
from mmengine import ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import save_checkpoint
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.nn import functional as F

import mmseg_mvp  # noqa: F401
from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import HIDDEN, IGNORE, UNKNOWN
from mmseg_mvp.models.utils.pseudo_labels import pseudo_labels
from mmseg_mvp.models.utils.tiled_resize import resize_matrices

CLASSES = ['cat', 'dog', 'traffic light', 'sheep', 'bird']
UNSEEN = ['dog', 'bird']
SEEN = ['cat', 'traffic light', 'sheep']


def config(clip, teacher=(), **student):
    prompts = dict(type='LearnedPrompts', num_prompts=2, context_length=3)
    teacher = dict(
        type='CLIPEncoderDecoder', clip=clip, backbone=dict(type='CLIPImageEncoder'),
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=[120., 110., 100.], std=[70., 60., 50.]),
        decode_head=dict(dict(type='MultiPromptTextHead', train_classes=SEEN, gpr=dict(type='GPR'), prompts=prompts,
                           scale=1e4),
                         **dict(teacher)))
    return ConfigDict(dict(dict(
        type='KnowledgeTransfer', teacher=teacher, unseen=UNSEEN,
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=[127.] * 3, std=[64.] * 3),
        backbone=dict(type='CLIPImageEncoder', clip=clip, frozen=False),
        decode_head=dict(type='TextFCNHead', in_channels=32, channels=16, num_convs=1, norm_cfg=dict(type='BN'),
                         train_classes=CLASSES)), **student))


def test_a_teacher_takes_a_dense_variant(tiny_vit):
    settings = config(tiny_vit)
    settings.teacher.backbone.dense = 'naclip'
    teacher, (images, *_) = MODELS.build(settings).teacher.module, batch()
    expected, = MODELS.build(dict(type='CLIPImageEncoder', clip=tiny_vit, dense='naclip'))(images)
    plain, = MODELS.build(dict(type='CLIPImageEncoder', clip=tiny_vit))(images)
    assert torch.equal(teacher.extract_feat(images)[0], expected) and not torch.allclose(expected, plain)


@pytest.fixture
def checkpoint(tiny_rn, tmp_path):
    """A checkpoint of the teacher."""
    torch.manual_seed(5)
    teacher = MODELS.build(config(tiny_rn).teacher)
    save_checkpoint(dict(state_dict=teacher.state_dict()), str(tmp_path / 'teacher.pth'))
    return str(tmp_path / 'teacher.pth')


@pytest.fixture
def build(tiny_rn, checkpoint):
    def build(teacher=(), **student):
        torch.manual_seed(0)
        model = MODELS.build(config(tiny_rn, teacher, **dict(dict(teacher_checkpoint=checkpoint), **student)))
        model.init_weights()
        # A random CLIP says much the same everywhere; these features differ from cell to cell, as a trained one's do.
        mix = torch.randn(32, 3)
        model.teacher.module.backbone.forward = lambda images: (
            torch.einsum('bchw,dc->bdhw', F.avg_pool2d(images, 32), mix), )
        return model.train()
    return build


@pytest.fixture(autouse=True)
def hub():
    hub = MessageHub.get_instance('test_knowledge_transfer')
    hub.update_info('iter', 0)
    hub.update_info('max_iters', 100)
    yield hub
    MessageHub._instance_dict.pop('test_knowledge_transfer', None)


def batch(values=(0, 2, 3, IGNORE, HIDDEN + 1, HIDDEN + 4, HIDDEN + UNKNOWN), size=96):
    """Two images with labels of every kind."""
    generator = torch.Generator().manual_seed(1)
    picks = torch.randint(0, len(values), (2, 1, size, size), generator=generator)
    label = torch.tensor(values)[picks]
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one.clone())) for one in label]
    patches = 2 * torch.randn(2, 3, size // 32, size // 32, generator=generator)
    return patches.repeat_interleave(32, 2).repeat_interleave(32, 3), samples, label[:, 0]


def seen_by_the_loss(model, monkeypatch):
    """Labels that reach the student's head."""
    found, forward = [], type(model.decode_head).loss_by_feat
    monkeypatch.setattr(type(model.decode_head), 'loss_by_feat', lambda self, logits, samples: found.append(
        torch.stack([one.gt_sem_seg.data[0] for one in samples])) or forward(self, logits, samples))
    return found


def brute_force(label, logits, threshold=0.):
    """Pixel by pixel: hidden ones take the most likely unseen class of full-size logits."""
    expected, indices = label.clone(), [CLASSES.index(name) for name in UNSEEN]
    for image, row, column in (label >= HIDDEN).nonzero().tolist():
        scores = [float(logits[image, index, row, column]) for index in indices]
        best = max(range(len(indices)), key=scores.__getitem__)
        probability = 1 / sum(torch.tensor(score - scores[best]).exp() for score in scores)
        expected[image, row, column] = indices[best] if probability >= threshold else IGNORE
    return expected


def teacher_logits(model, inputs, flipped=False):
    """What the teacher says of the raw images by mmseg's own path."""
    raw = inputs * 64 + 127
    raw = raw.flip(1) if flipped else raw
    teacher = model.teacher.module
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in ([120., 110., 100.], [70., 60., 50.]))
    with torch.no_grad():
        return teacher.encode_decode((raw - mean) / std, [dict(img_shape=inputs.shape[2:])] * len(inputs))


def test_pseudo_labels_against_softmax_at_full_size():
    torch.manual_seed(0)
    logits, candidates = torch.randn(2, 9, 5, 7) * 3, torch.tensor([1, 4, 8])
    labels, confidence = pseudo_labels(logits, candidates, (40, 61), resize_matrices(logits, (40, 61), False))
    full = F.interpolate(logits, (40, 61), mode='bilinear')[:, candidates].softmax(dim=1)
    assert torch.equal(labels, candidates[full.argmax(dim=1)])
    assert torch.allclose(confidence, full.amax(dim=1), atol=1e-5)


@pytest.mark.parametrize('share', [0., 0.5])
def test_the_teacher_labels_hidden_pixels_and_no_others(build, monkeypatch, share):
    model = build()
    inputs, samples, label = batch()
    threshold = float(teacher_logits(model, inputs)[:, [1, 4]].softmax(dim=1).amax(dim=1).quantile(share)) * (share > 0)
    model.threshold = threshold
    found = seen_by_the_loss(model, monkeypatch)
    logs = model.loss(inputs, samples)
    expected = brute_force(label, teacher_logits(model, inputs), threshold)
    assert torch.equal(found[0], expected)
    hidden = label >= HIDDEN
    assert torch.equal(found[0][~hidden], label[~hidden])
    assert bool((found[0][hidden] == IGNORE).any()) == (share > 0)
    assert len(found[0][hidden].unique()) == 2 + (share > 0)
    assert float(logs['phase']) == 1 and float(logs['pseudo_share']) == pytest.approx(float(hidden.float().mean()))
    known = hidden & (label != HIDDEN + UNKNOWN)
    full = teacher_logits(model, inputs)[:, [1, 4]].argmax(dim=1) * 3 + 1
    right = (full == label - HIDDEN)[known]
    assert float(logs['pseudo_acc']) == pytest.approx(100 * float(right.float().mean()), abs=1e-3)


def test_the_truth_behind_hidden_pixels_reaches_no_loss(build):
    model = build()
    inputs, samples, label = batch()
    other = torch.where((label >= HIDDEN), HIDDEN + UNKNOWN, label)
    blind = [SegDataSample(gt_sem_seg=PixelData(data=one[None])) for one in other]
    torch.manual_seed(0)
    known = model.loss(inputs, samples)
    torch.manual_seed(0)
    unknown = model.loss(inputs, blind)
    assert 'pseudo_acc' in known and 'pseudo_acc' not in unknown
    assert torch.equal(known['decode.loss_seg'], unknown['decode.loss_seg'])


def test_in_self_training_the_student_labels_and_the_teacher_rests(build, monkeypatch, hub):
    model = build(decode_head=dict(type='TextFCNHead', in_channels=32, channels=16, num_convs=1, dropout_ratio=0.,
                                   norm_cfg=dict(type='BN'), train_classes=CLASSES))
    inputs, samples, label = batch()
    hub.update_info('iter', 10)
    monkeypatch.setattr(model.teacher.module, 'low_res_logits', lambda *_: pytest.fail('the teacher ran'))
    found = seen_by_the_loss(model, monkeypatch)
    logs = model.loss(inputs, samples)
    with torch.no_grad():
        logits = F.interpolate(model.decode_head(model.extract_feat(inputs)), (96, 96), mode='bilinear')
    assert float(logs['phase']) == 2
    assert torch.equal(found[0], brute_force(label, logits))


@pytest.mark.parametrize('share, iteration, phase', [(0.1, 9, 1), (0.1, 10, 2), (0., 0, 2), (1., 99, 1), (0.25, 24, 1)])
def test_phase_is_a_function_of_the_iteration(build, hub, share, iteration, phase):
    model = build(teacher_share=share)
    hub.update_info('iter', iteration)
    for _ in range(2):  # neither calls nor validation count
        inputs, samples, _ = batch()
        assert float(model.loss(inputs, samples)['phase']) == phase
        with torch.no_grad():
            model.eval().predict(inputs)
        model.train()


def test_teacher_and_prompts_stay_bit_for_bit_and_out_of_the_checkpoint(build):
    model = build()
    teacher = model.teacher.module
    before = copy.deepcopy(teacher.state_dict()), copy.deepcopy(model.state_dict())
    towers = copy.deepcopy([teacher.backbone.tower.module.state_dict()])
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
    for _ in range(2):
        inputs, samples, _ = batch()
        wrapper.update_params(model.parse_losses(model.loss(inputs, samples))[0])
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, before[0][key]), key
    for key, value in teacher.backbone.tower.module.state_dict().items():
        assert torch.equal(value, towers[0][key]), key
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[1][key])}
    assert 'decode_head.convs.0.conv.weight' in changed
    assert not any('teacher' in key or 'contexts' in key for key in changed)
    assert not any('teacher' in key for key in model.state_dict())
    assert not teacher.training and all(not value.requires_grad for value in teacher.parameters())


def test_the_student_takes_over_the_learned_prompts(build, checkpoint):
    model = build()
    learned = torch.load(checkpoint, weights_only=True)['state_dict']['decode_head.classifier.prompts.contexts']
    prompts = model.decode_head.classifier.prompts
    assert torch.equal(prompts.contexts, learned) and not prompts.contexts.requires_grad and not prompts.learnable
    assert torch.equal(model.teacher.module.decode_head.classifier.prompts.contexts, learned)
    assert model.decode_head.classifier.learned_on == SEEN


def test_maskclip_teaches_without_a_checkpoint(build):
    model = build(teacher=dict(prompts=dict(type='TemplatePrompts', templates='single'), gpr=None),
                  teacher_checkpoint=None)
    inputs, samples, _ = batch()
    assert float(model.loss(inputs, samples)['pseudo_share']) > 0
    assert model.decode_head.classifier.prompts.num_views == 1


def test_the_teacher_has_its_own_order_of_channels(build):
    model = build(data_preprocessor=dict(type='mmseg.SegDataPreProcessor', mean=[127.] * 3, std=[64.] * 3,
                                         bgr_to_rgb=True))
    inputs, _, _ = batch()
    scores, (rows, columns) = model._teacher_scores(inputs)
    expected = teacher_logits(model, inputs, flipped=True)
    assert torch.allclose(rows @ scores @ columns.T, expected, atol=1e-4 * float(expected.abs().max()))
    assert not torch.allclose(expected, teacher_logits(model, inputs), atol=1e-3 * float(expected.abs().max()))


def test_the_teacher_sees_images_in_the_normalisation_of_its_clip(tiny_rn):
    clip = {**tiny_rn, 'mean': (.5, .4, .3), 'std': (.2, .3, .4)}
    student = config(tiny_rn)
    student.teacher = dict(student.teacher, clip=clip, data_preprocessor=dict(type='mmseg.SegDataPreProcessor'))
    model = MODELS.build(student)
    pixels = torch.rand(1, 3, 8, 8) * 255
    seen = model._as_the_teacher_sees((pixels - 127.) / 64.)
    mean, std = (torch.tensor(clip[key])[:, None, None] for key in ('mean', 'std'))
    assert torch.allclose(seen, (pixels / 255 - mean) / std, atol=1e-4)


def test_a_student_that_is_tested_by_other_names_labels_by_those_of_training(build, hub):
    head = dict(type='TextFCNHead', in_channels=32, channels=16, num_convs=1, norm_cfg=dict(type='BN'),
                train_classes=CLASSES, test_classes=['house', 'tree', 'car'])
    for ema_momentum in (None, 0.5):
        model = build(decode_head=head, teacher_share=0., ema_momentum=ema_momentum)
        inputs, samples, _ = batch()
        assert torch.isfinite(model.loss(inputs, samples)['decode.loss_seg'])
        assert model._own_scores(inputs, model.decode_head(model.extract_feat(inputs)))[0].shape[1] == len(CLASSES)


def test_a_moving_average_labels_in_self_training(build, monkeypatch, hub, tiny_rn):
    model = build(ema_momentum=0.25, teacher_share=0.)
    inputs, samples, label = batch()
    name = 'decode_head.convs.0.conv.weight'
    expected = model.get_parameter(name).detach().clone()
    wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.5)))
    for _ in range(3):
        found = seen_by_the_loss(model, monkeypatch)
        expected += 0.25 * (model.get_parameter(name).detach() - expected)
        losses = model.loss(inputs, [copy.deepcopy(one) for one in samples])
        assert torch.allclose(model.average.module.get_parameter(name), expected, atol=1e-6)
        with torch.no_grad():
            average = model.average.module.eval()
            average.decode_head.classifier.train()
            logits = F.interpolate(average.decode_head(average.extract_feat(inputs)), (96, 96), mode='bilinear')
        assert torch.equal(found[-1], brute_force(label, logits))
        wrapper.update_params(model.parse_losses(losses)[0])
    assert model.average.module.decode_head.classifier.tower.module is model.decode_head.classifier.tower.module
    assert any(key.startswith('average.module.backbone') for key in model.state_dict())


@pytest.mark.parametrize('change, message', [
    (dict(unseen=[]), 'no unseen class'),
    (dict(unseen=['horse']), "Unseen classes \\['horse'\\] are not among the 5 classes"),
    (dict(teacher_share=1.5), "phase can't be longer than the schedule"),
    (dict(threshold=-1.), 'threshold is -1.0'),
    (dict(ema_momentum=1.), 'ema_momentum is 1.0'),
    (dict(decode_head=dict(type='FCNHead', in_channels=32, channels=16, num_classes=5)), 'no text classifier'),
    (dict(teacher_checkpoint=None), 'set model.teacher_checkpoint'),
    (dict(teacher_checkpoint='gone.pth'), "teacher checkpoint gone.pth can't be read \\(gone.pth"),
    (dict(teacher_checkpoint=__file__), "test_knowledge_transfer.py can't be read"),
    (dict(backbone=dict(type='ResNet', depth=18, init_cfg=dict(type='Pretrained', checkpoint='gone.pth'))),
     "Pretrained weights cannot be loaded \\(gone.pth can not be found"),
])
def test_a_users_mistake_is_one_sentence_before_the_first_iteration(build, change, message):
    with pytest.raises(UserError, match=message):
        build(**change)


def test_a_teacher_that_saw_masks_of_unseen_classes_is_refused(build, tiny_rn, tmp_path):
    teacher = MODELS.build(config(tiny_rn, dict(train_classes=CLASSES)).teacher)
    save_checkpoint(dict(state_dict=teacher.state_dict()), str(tmp_path / 'leak.pth'))
    with pytest.raises(UserError, match="leak.pth was trained with masks of \\['dog', 'bird'\\]"):
        build(teacher_checkpoint=str(tmp_path / 'leak.pth'))


def test_a_teacher_of_other_prompts_is_refused(build):
    with pytest.raises(UserError, match="'num_prompts': 2.*'num_prompts': 3"):
        build(teacher=dict(prompts=dict(type='LearnedPrompts', num_prompts=3, context_length=3)))


@pytest.mark.parametrize('value, message', [(1, "show the unseen class 'dog'"), (HIDDEN, "hide the seen class 'cat'")])
def test_labels_that_hide_other_classes_are_refused(build, value, message):
    model = build()
    inputs, samples, _ = batch((0, IGNORE, value))
    with pytest.raises(UserError, match=message):
        model.loss(inputs, samples)


@pytest.mark.parametrize('ignored', [65535, 999])
def test_another_ignored_value(build, monkeypatch, ignored):
    """Labels and losses as with 255; padding gets the value too."""
    found = {}
    for value in (IGNORE, ignored):
        model = build()
        for head in (model, model.teacher.module):
            head.decode_head.ignore_index = value
        inputs, samples, label = batch((0, 2, 3, value, HIDDEN + 1, HIDDEN + 4, HIDDEN + UNKNOWN))
        seen = seen_by_the_loss(model, monkeypatch)
        losses = model.loss(inputs, samples)
        total = model.parse_losses(losses)[0].detach()
        found[value] = seen[-1].where(seen[-1] != value, -1), total, losses['pseudo_acc']
        assert (seen[-1][label == value] == value).all()
    for one, other in zip(found[IGNORE], found[ignored]):
        assert torch.equal(one, other)


def test_padding_is_ignored(tiny_rn, checkpoint):
    settings = config(tiny_rn, teacher_checkpoint=checkpoint)
    settings.decode_head.ignore_index = 65535
    assert MODELS.build(settings).data_preprocessor.seg_pad_val == 65535

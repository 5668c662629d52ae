"""The segmentor against mmseg's own, with the same weights: label maps, logits, and what it refuses."""
import copy
import math

import pytest
import torch
from fixtures.exports import lseg, mvp_seg, text_model
from fixtures.refusals import refused
from fixtures.text_models import ALL, LAST, batch, build_segmentor, head_config
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import load_checkpoint
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

from mmseg_mvp.apis.export.common import text_classifier
from mmseg_mvp.errors import UserError
from mmseg_mvp.models import TextFCNHead

WHOLE = dict(mode='whole')
SLIDE = dict(mode='slide', crop_size=(40, 48), stride=(24, 32))
# Flips, padding on any side, other original sizes; None stands for a call without samples.
METAS = [
    None,
    dict(ori_shape=(64, 96)),
    dict(ori_shape=(37, 131), flip=True, flip_direction='horizontal'),
    dict(ori_shape=(90, 50), flip=True, flip_direction='vertical', padding_size=[2, 3, 4, 5]),
    dict(ori_shape=(61, 75), flip=False, flip_direction=None, img_padding_size=[0, 9, 0, 7], padding_size=[1, 1, 1, 1]),
]


@MODELS.register_module()
class TextFCNHeadWithScale(TextFCNHead):
    """A head of one's own, which hands ``clip`` on with its other keywords."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def forward(self, inputs):
        return self.scale * super().forward(inputs)


def build_pair(clip, mode, **kwargs):
    """mmseg's segmentor and ours with the same weights, of which each class wins somewhere."""
    head = head_config(clip, temperature=0.5, in_channels=16, in_index=1, act_cfg=None, **kwargs)
    theirs, ours = (build_segmentor(head, name, mode).eval() for name in ('EncoderDecoder', 'OpenVocabEncoderDecoder'))
    assert type(theirs) is EncoderDecoder
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.2, 1)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@torch.no_grad()
def check_agreement(theirs, ours, data, keep_logits=False):
    """Predictions of both for a data loader's batch; a class differs only where two tie."""
    ours.test_cfg.keep_logits = keep_logits
    expected, found = (model.test_step(copy.deepcopy(data)) for model in (theirs, ours))
    for one, other in zip(expected, found, strict=True):
        logits, label = one.seg_logits.data, other.pred_sem_seg.data
        assert label.dtype == one.pred_sem_seg.data.dtype and label.shape == one.pred_sem_seg.data.shape
        assert (logits.gather(0, label) >= logits.amax(dim=0) - 1e-5).all()
        assert (label != one.pred_sem_seg.data).float().mean() < 1e-3 and len(label.unique()) > 1
        assert torch.allclose(other.low_res_logits.resize(), logits, atol=1e-5)
        if keep_logits:
            assert torch.allclose(other.seg_logits.data, logits, atol=1e-5)
            assert other.seg_logits.shape == one.seg_logits.shape
        else:
            assert 'data' not in other.seg_logits
    return found


def with_meta(data, meta):
    if meta is None:
        return dict(inputs=data['inputs'])
    for sample in data['data_samples']:
        sample.set_metainfo(meta)
    return data


@pytest.mark.parametrize('keep_logits', [False, True])
@pytest.mark.parametrize('mode', [WHOLE, SLIDE], ids=['whole', 'slide'])
@pytest.mark.parametrize('meta', METAS, ids=str)
def test_predictions_are_those_of_mmsegs_encoder_decoder(tiny_rn, meta, mode, keep_logits):
    theirs, ours = build_pair(tiny_rn, mode)
    check_agreement(theirs, ours, with_meta(batch(size=(64, 96)), meta), keep_logits)


@pytest.mark.parametrize('mode', [WHOLE, SLIDE, dict(SLIDE, crop_size=(100, 48))], ids=['whole', 'slide', 'large'])
@pytest.mark.parametrize('size, align_corners', [((61, 75), False), ((45, 103), True)])
def test_sizes_that_are_no_multiple_of_the_stride(tiny_rn, size, align_corners, mode):
    pair = build_pair(tiny_rn, mode, align_corners=align_corners)
    check_agreement(*pair, with_meta(batch(size=size), dict(ori_shape=(70, 71))), keep_logits=True)


@pytest.mark.parametrize('mode', [WHOLE, SLIDE], ids=['whole', 'slide'])
def test_images_that_the_data_preprocessor_pads(tiny_rn, mode):
    pair = build_pair(tiny_rn, mode)
    for model in pair:
        model.data_preprocessor.test_cfg = dict(size_divisor=32)
    found = check_agreement(*pair, with_meta(batch(size=(50, 70)), dict(ori_shape=(100, 141))))
    assert found[0].metainfo['img_padding_size'] == (0, 26, 0, 14)


def test_samples_of_a_batch_have_their_own_sizes_and_flips(tiny_rn):
    data = batch(size=(64, 96))
    for sample, meta in zip(data['data_samples'], METAS[2:4]):
        sample.set_metainfo(meta)
    first, second = check_agreement(*build_pair(tiny_rn, WHOLE), data)
    assert (first.pred_sem_seg.shape, second.pred_sem_seg.shape) == ((37, 131), (90, 50))


def test_without_a_test_cfg_images_are_taken_whole(tiny_rn):
    theirs, ours = build_pair(tiny_rn, WHOLE)
    bare = build_pair(tiny_rn, None)[1]
    bare.load_state_dict(ours.state_dict())
    check_agreement(theirs, bare, batch())
    images, metas = torch.stack(batch()['inputs']), [dict(ori_shape=(64, 64), img_shape=(64, 64))] * 2
    assert torch.equal(bare.inference(images, metas), theirs.inference(images, metas))


def test_sliding_goes_on_with_other_names(tiny_rn):
    ours = build_pair(tiny_rn, SLIDE)[1]
    ours.set_classes(['boat', 'river', 'dog', 'sky', 'cat', 'tree, bush'])
    with torch.no_grad():
        sample = ours.test_step(batch(size=(64, 96)))[0]
    assert sample.low_res_logits.logits.shape == (6, 64, 96) and sample.pred_sem_seg.data.max() < 6


def test_a_shared_clip_reaches_every_head_that_takes_one(tiny_rn, tiny_vit):
    head, own = head_config(tiny_rn), head_config(tiny_vit)
    head.pop('clip')
    stock = dict(LAST, type='FCNHead', channels=8, num_classes=3, norm_cfg=dict(type='BN'))
    model = build_segmentor(dict(head, type='TextFCNHeadWithScale', scale=2.), clip=tiny_rn,
                            auxiliary_head=[dict(head, type=TextFCNHead), stock, own])
    clips = [one.classifier.clip.name for one in (model.decode_head, model.auxiliary_head[0], model.auxiliary_head[2])]
    assert clips == [tiny_rn['model'], tiny_rn['model'], tiny_vit['model']]
    losses = model.train().loss(torch.stack(batch()['inputs']), batch()['data_samples'])
    assert {'decode.loss_seg', 'aux_0.loss_seg', 'aux_1.loss_ce', 'aux_2.loss_seg'} <= set(losses)


def test_a_loss_that_is_not_finite_stops_training_and_names_its_part(tiny_rn):
    aux = dict(LAST, type='FCNHead', channels=8, num_classes=3, norm_cfg=dict(type='BN'))
    model = build_segmentor(head_config(tiny_rn), auxiliary_head=aux).train()
    optimizer = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
    assert model.train_step(batch(), optimizer)['loss'].isfinite()
    with torch.no_grad():
        model.decode_head.conv_cat.conv.weight[0] = float('nan')
    before = [value.clone() for value in model.backbone.parameters()]
    with pytest.raises(UserError, match=r"loss is not finite: \{'decode.loss_seg': nan\}; lower"):
        model.train_step(batch(), optimizer)
    assert all(torch.equal(*pair) for pair in zip(model.backbone.parameters(), before))


def test_a_checkpoint_with_nothing_for_the_model_is_refused(tmp_path, tiny_rn):
    model = build_segmentor(head_config(tiny_rn))
    torch.save(dict(state_dict={'fc.weight': torch.zeros(1)}), tmp_path / 'other.pth')
    with pytest.raises(UserError, match=r"no entry for this model: found 1 entries such as \['fc.weight'\]") as told:
        load_checkpoint(model, str(tmp_path / 'other.pth'))
    assert '\n' not in str(told.value)
    torch.save(dict(state_dict={'backbone.stages.0.1.bias': torch.ones(8)}), tmp_path / 'some.pth')
    load_checkpoint(model, str(tmp_path / 'some.pth'))
    assert (model.backbone.stages[0][1].bias == 1).all()


def test_as_a_part_of_a_model_it_may_be_left_out_of_a_checkpoint(tmp_path, tiny_rn):
    whole = nn.ModuleDict(dict(average=build_segmentor(head_config(tiny_rn)), rest=nn.Linear(1, 1)))
    torch.save(dict(state_dict={'rest.bias': torch.full((1, ), 7.)}), tmp_path / 'rest.pth')
    load_checkpoint(whole, str(tmp_path / 'rest.pth'))
    assert whole['rest'].bias.item() == 7


def test_the_number_of_classes_is_that_of_the_test_names(tiny_rn):
    model = build_segmentor(head_config(tiny_rn))
    assert model.num_classes == model.out_channels == len(ALL)


pytestmark = pytest.mark.usefixtures('mmseg_scope')


NAN = math.nan


LONG = 'x' * 5000


NO_CLASSES = [None, 3, 1.5, NAN, True, b'tree, boat', torch.zeros(2), object(), [], '', ' ', {}, {'tree', 'boat'},
              [None], [3], ['tree', ''], ['tree', None], [['tree']], {'tree': None}, {'tree': 3}, ['tree', 'tree'],
              '\0', LONG + '.txt', ['tree\nboat', 'cup'], ['\ud800', 'tree'], 'nowhere.txt', 'nowhere:all']


@pytest.fixture(scope='module')
def models(tiny_rn, tiny_vit):
    return {name: model.eval() for name, (_, model) in dict(
        mvp_seg=mvp_seg(tiny_vit), text=text_model(tiny_rn), lseg=lseg(tiny_rn, 'toy_zs')).items()}


@pytest.mark.parametrize('name', ['mvp_seg', 'text', 'lseg'])
@pytest.mark.parametrize('classes', NO_CLASSES)
def test_set_classes(models, name, classes):
    """What is refused changes nothing."""
    model = models[name]
    before = list(text_classifier(model).vocabulary), model.num_classes, model.out_channels
    refused(lambda: model.set_classes(classes))
    assert (list(text_classifier(model).vocabulary), model.num_classes, model.out_channels) == before

"""Configs that mix our parts with mmseg's networks: comparison with mmseg's configs, and one training step each."""
from pathlib import Path

import mmseg
import open_clip
import pytest
import torch
from fixtures.builders import CONFIGS, build_small
from fixtures.text_models import batch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmseg.models import EncoderDecoder, FCNHead
from mmseg.registry import DATASETS

import mmseg_mvp  # noqa: F401
from mmseg_mvp.vocabularies import class_names

pytestmark = pytest.mark.usefixtures('mmseg_scope')

OURS = CONFIGS / 'mixing'
THEIRS = Path(mmseg.__file__).parent / '.mim' / 'configs'
TEXT = {
    'upernet_swin-t_text': 'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
    'segformer_mit-b0_text': 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
}
TEXT |= {f'{name}_oc': stock for name, stock in TEXT.items()}
GPR = {'deeplabv3plus_r50_gpr': 'deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py'}
PAIRS = TEXT | GPR
TOWERS = ('mvp_seg_vit-b16-laion', 'mvp_seg_vit-b16-metaclip', 'mvp_seg_vit-b16-dfn')
ADDED = ('conv_seg', 'loss_decode', 'loss_oc', 'gpr', 'loss_presence')
SLOW = ('upernet_swin-t_text', 'upernet_swin-t_text_oc')


def slow(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def pair(name):
    return Config.fromfile(OURS / f'{name}.py'), Config.fromfile(THEIRS / PAIRS[name])


def rates(cfg, model):
    """Return learning rate, weight decay and betas (or momentum) of each parameter, by name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    return {names[one]: (group['lr'], group['weight_decay'], group.get('betas') or group['momentum'])
            for group in groups for one in group['params']}


def step(cfg, model, classes):
    """Train one step on random images; return the log, the names of changed parameters and of all parameters."""
    model.init_weights()
    before = {key: value.clone() for key, value in model.named_parameters()}
    logged = model.train().train_step(batch(classes, size=(32, 32)), build_optim_wrapper(model, cfg.optim_wrapper))
    assert all(value.isfinite() for key, value in logged.items() if 'loss' in key)
    return logged, {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}, set(before)


def losses(logged):
    return {key for key, value in logged.items() if 'loss' in key and value > 0}


def test_every_mixing_config_is_tested_and_says_what_it_shows():
    assert {path.stem for path in OURS.glob('*.py')} == {*PAIRS, *TOWERS, 'fcn_clip-vit-b16'}
    for path in OURS.glob('*.py'):
        lines = path.read_text().splitlines()
        assert [line.startswith('# ') for line in lines[:3]] == [True, True, False], path


@pytest.mark.parametrize('name, fits', [('upernet_swin-t_text', True), ('segformer_mit-b0_text', False)])
def test_channels_are_those_of_the_text_where_the_config_says_so(name, fits):
    model = pair(name)[0].model
    assert (model.decode_head.channels == open_clip.get_model_config(model.clip.model)['embed_dim']) is fits


@pytest.mark.parametrize('name', slow(PAIRS))
def test_networks_and_optimizers_are_mmsegs(tiny_vit, name):
    cfg, stock = pair(name)
    pretrained = [one.model.get('pretrained') or one.model.backbone.init_cfg.checkpoint for one in (cfg, stock)]
    assert Path(pretrained[0]).name == Path(pretrained[1]).name
    ours, theirs = build_small(cfg, **(dict(clip=tiny_vit) if name in TEXT else {})), build_small(stock)
    assert repr(ours.backbone) == repr(theirs.backbone)
    for head in ('decode_head', 'auxiliary_head'):
        layers, expected = ({key: repr(layer) for key, layer in getattr(model, head, model.backbone).named_children()
                             if key not in ADDED} for model in (ours, theirs))
        assert layers == expected
    found, expected = rates(cfg, ours), rates(stock, theirs)
    shared = {key for key in expected if 'conv_seg' not in key}
    assert {key: found[key] for key in shared} == {key: expected[key] for key in shared}
    for one, other in zip(cfg.param_scheduler, stock.param_scheduler, strict=True):
        assert dict(one, end=None) == dict(other, end=None) and one.end in (other.end, cfg.train_cfg.max_iters)


@pytest.mark.parametrize('name', slow(TEXT))
def test_text_heads_train_a_step_and_take_other_names(tiny_vit, name):
    cfg = pair(name)[0]
    seen, learned = class_names(cfg.model.decode_head.train_classes), name.endswith('_oc')
    assert [head.num_classes for head in [cfg.model.get('auxiliary_head')] if head] in ([], [len(seen)])
    model = build_small(cfg, clip=tiny_vit)
    logged, changed, everything = step(cfg, model, len(seen))
    assert losses(logged) == {'loss', 'decode.loss_seg'} | ({'decode.loss_oc'} if learned else set()) | (
        {'aux.loss_ce'} if model.with_auxiliary_head else set())
    assert changed == everything and learned is any('prompts.contexts' in key for key in changed)
    with torch.no_grad():
        model.eval()
        assert model.test_step(batch(size=(64, 80)))[0].low_res_logits.resize().shape == (20, 64, 80)
        model.set_classes(['a red house', 'tree', 'boat'])
        label = model.test_step(batch(size=(64, 80)))[0].pred_sem_seg.data
    assert label.shape == (1, 64, 80) and set(label.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize('name', TOWERS)
def test_other_towers_train_a_step_and_take_other_names(tiny_vit, name):
    cfg = Config.fromfile(OURS / f'{name}.py')
    sizes = [{key: value for key, value in open_clip.get_model_config(clip).items() if key != 'quick_gelu'}
             for clip in (cfg.model.clip.model, 'ViT-B-16')]
    assert sizes[0] == sizes[1] and cfg.model.clip.weights.split('_')[0].startswith(name.split('-')[-1])
    model = build_small(cfg, clip=tiny_vit)
    logged, changed, _ = step(cfg, model, 15)
    assert losses(logged) == {'loss', 'decode.loss_seg', 'decode.loss_presence', 'decode.loss_oc'}
    assert {'decode_head.classifier.prompts.contexts', 'decode_head.log_scale'} <= changed
    model.eval().set_classes(['a red house', 'tree', 'boat'])
    label = model.test_step(batch(size=(64, 80)))[0].pred_sem_seg.data
    assert label.shape == (1, 64, 80) and set(label.unique().tolist()) <= {0, 1, 2}


@pytest.mark.parametrize('name', [*GPR, 'fcn_clip-vit-b16'])
def test_closed_sets_are_those_of_the_data(name):
    cfg = Config.fromfile(OURS / f'{name}.py')
    classes = list(DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO['classes'])
    assert cfg.train_dataloader.dataset.metainfo.classes == classes
    heads = [cfg.model.decode_head, *([cfg.model.auxiliary_head] if 'auxiliary_head' in cfg.model else [])]
    assert [head.num_classes for head in heads] == [len(classes)] * len(heads)
    assert cfg.val_evaluator == cfg.test_evaluator == dict(type='ZeroShotIoUMetric')  # no class is unseen


@pytest.mark.slow
def test_a_closed_set_with_gpr_trains_a_step():
    cfg, _ = pair('deeplabv3plus_r50_gpr')
    model = build_small(cfg)
    logged, changed, everything = step(cfg, model, 150)
    assert losses(logged) == {'loss', 'decode.loss_ce', 'decode.loss_presence', 'aux.loss_ce'}
    heads = {key for key in everything if 'head' in key}  # new ResNet blocks are zero at first
    assert heads <= changed and 'decode_head.gpr.log_temperature' in changed
    label = model.eval().test_step(batch(size=(32, 48)))[0].pred_sem_seg.data
    assert type(model) is EncoderDecoder and label.shape == (1, 32, 48)


def test_clip_is_a_backbone_of_mmsegs_own_classes(tiny_vit):
    cfg = Config.fromfile(OURS / 'fcn_clip-vit-b16.py')
    assert cfg.model.backbone.clip.weights in open_clip.list_pretrained_tags_by_model(cfg.model.backbone.clip.model)
    assert cfg.model.decode_head.in_channels == open_clip.get_model_config(cfg.model.backbone.clip.model)['embed_dim']
    cfg.model.backbone.clip, cfg.model.decode_head.in_channels = tiny_vit, 32
    model = build_small(cfg)
    tower = {key: value.clone() for key, value in model.backbone.tower.module.state_dict().items()}
    logged, changed, everything = step(cfg, model, 150)
    assert (type(model), type(model.decode_head)) == (EncoderDecoder, FCNHead)
    assert losses(logged) == {'loss', 'decode.loss_ce'} and changed == everything
    assert all(key.startswith('decode_head.') for key in model.state_dict())
    assert all(torch.equal(value, tower[key]) for key, value in model.backbone.tower.module.state_dict().items())
    sample = model.eval().test_step(batch(size=(64, 80)))[0]
    assert sample.seg_logits.data.shape == (150, 64, 80) and sample.pred_sem_seg.data.shape == (1, 64, 80)

"""Text heads on networks of mmseg: the configs against mmseg's own, and a training step of each."""
from pathlib import Path

import mmseg
import open_clip
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS

import mmseg_mvp  # noqa: F401
from fixtures.text_models import batch
from mmseg_mvp.vocabularies import class_names

OURS = Path(__file__).parents[1] / 'configs' / 'mixing'
THEIRS = Path(mmseg.__file__).parent / '.mim' / 'configs'
PAIRS = {
    'upernet_swin-t_text': 'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
    'segformer_mit-b0_text': 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
}
TEXT = ('conv_seg', 'loss_decode')


def pair(name):
    return Config.fromfile(OURS / f'{name}.py'), Config.fromfile(THEIRS / PAIRS[name])


def build(cfg, **clip):
    torch.manual_seed(0)
    cfg.model.backbone.init_cfg = None
    cfg.model.data_preprocessor.size = (32, 32)
    cfg.model.update({key: dict(value, weights=None) for key, value in clip.items()})
    return revert_sync_batchnorm(MODELS.build(cfg.model))


def rates(cfg, model):
    """Learning rate and weight decay of each parameter."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    return {names[one]: (group['lr'], group['weight_decay'], group['betas']) for group in groups
            for one in group['params']}


def test_every_mixing_config_is_compared():
    assert {path.stem for path in OURS.glob('*.py')} == set(PAIRS)


@pytest.mark.parametrize('name, fits', [('upernet_swin-t_text', True), ('segformer_mit-b0_text', False)])
def test_channels_are_those_of_the_text_where_the_config_says_so(name, fits):
    model = pair(name)[0].model
    assert (model.decode_head.channels == open_clip.get_model_config(model.clip.model)['embed_dim']) is fits


@pytest.mark.parametrize('name', PAIRS)
def test_networks_and_optimizers_are_mmsegs(tiny_vit, name):
    cfg, stock = pair(name)
    checkpoints = [Path(one.model.backbone.init_cfg.checkpoint).name for one in (cfg, stock)]
    assert checkpoints[0] == checkpoints[1]
    ours, theirs = build(cfg, clip=tiny_vit), build(stock)
    assert repr(ours.backbone) == repr(theirs.backbone)
    for head in ('decode_head', 'auxiliary_head'):
        layers, expected = ({key: repr(layer) for key, layer in getattr(model, head, model.backbone).named_children()
                             if key not in TEXT} for model in (ours, theirs))
        assert layers == expected
    found, expected = rates(cfg, ours), rates(stock, theirs)
    shared = {key for key in expected if 'conv_seg' not in key}
    assert {key: found[key] for key in shared} == {key: expected[key] for key in shared}
    for one, other in zip(cfg.param_scheduler, stock.param_scheduler, strict=True):
        assert dict(one, end=None) == dict(other, end=None) and one.end in (other.end, cfg.train_cfg.max_iters)


@pytest.mark.parametrize('name', [
    pytest.param('upernet_swin-t_text', marks=pytest.mark.slow), 'segformer_mit-b0_text'])
def test_a_training_step_and_other_names(tiny_vit, name):
    cfg = pair(name)[0]
    seen = class_names(cfg.model.decode_head.train_classes)
    assert [head.num_classes for head in [cfg.model.get('auxiliary_head')] if head] in ([], [len(seen)])
    model = build(cfg, clip=tiny_vit)
    model.init_weights()
    before = {key: value.clone() for key, value in model.named_parameters()}
    logged = model.train().train_step(batch(len(seen), size=(32, 32)), build_optim_wrapper(model, cfg.optim_wrapper))
    losses = {key for key, value in logged.items() if 'loss' in key and value.isfinite() and value > 0}
    assert losses == {'loss', 'decode.loss_seg'} | ({'aux.loss_ce'} if model.with_auxiliary_head else set())
    changed = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert len(changed) == len(before)
    with torch.no_grad():
        model.eval()
        assert model.test_step(batch(size=(64, 80)))[0].low_res_logits.resize().shape == (20, 64, 80)
        model.set_classes(['a red house', 'tree', 'boat'])
        label = model.test_step(batch(size=(64, 80)))[0].pred_sem_seg.data
    assert label.shape == (1, 64, 80) and set(label.unique().tolist()) <= {0, 1, 2}

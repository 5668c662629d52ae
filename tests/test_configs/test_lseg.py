"""LSeg's configs against the architectures and schedule of the paper and the class lists of mmseg."""
from pathlib import Path

import open_clip
import pytest
from fixtures.builders import parts
from fixtures.lseg import CONFIGS, LEAVES, WRITERS, small
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmseg.registry import DATASETS, MODELS

import mmseg_mvp  # noqa: F401
from mmseg_mvp.utils import without_cuda
from mmseg_mvp.vocabularies import UNSEEN, class_names, load_vocabulary

pytestmark = pytest.mark.usefixtures('mmseg_scope')

# Backbone and head of each encoder. The four stages of a ResNet are fused without reassembly.
ENCODERS = {
    'vit-b32': (dict(patch_size=32, embed_dims=768, num_layers=12, num_heads=12, out_indices=(2, 5, 8, 11)),
                dict(patch_size=32, in_channels=768, post_process_channels=[96, 192, 384, 768])),
    'vit-l16': (dict(patch_size=16, embed_dims=1024, num_layers=24, num_heads=16, out_indices=(5, 11, 17, 23)),
                dict(patch_size=16, in_channels=1024, post_process_channels=[256, 512, 1024, 1024])),
    'r101': (dict(type='ResNet', depth=101, style='pytorch', out_indices=(0, 1, 2, 3)),
             dict(in_channels=[256, 512, 1024, 2048], readout_type=None, post_process_channels=None))}
# Not in the paper: CLIP's image tower, with three stages and the dense features in CLIP's embedding space.
OWN = {'clip-rn50': (dict(type='CLIPImageEncoder', out_indices=(0, 1, 2), frozen=False),
                     dict(in_channels=[256, 512, 1024, 1024], readout_type=None))}
VIT = dict(type='VisionTransformer', img_size=(384, 384), patch_bias=True, qkv_bias=True, with_cls_token=True,
           output_cls_token=True, final_norm=False, interpolate_mode='bilinear', norm_cfg=dict(type='LN', eps=1e-6))
NORMALISATION = {
    'VisionTransformer': ([127.5] * 3, ) * 2, 'ResNet': ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    'CLIPImageEncoder': (None, None)}  # the segmentor takes those of the CLIP
HIDDEN = {'ToySceneDataset': UNSEEN['toy'], 'MapillaryDataset_v1': ['Unlabeled']}  # not used in training
EPISODES = ('pascal5i', 'coco20i', 'fss1000')
REAL = [path for path in LEAVES if not path.stem.startswith('toy')]


@pytest.fixture(params=LEAVES, ids=lambda path: path.stem)
def cfg(request):
    return Config.fromfile(request.param)


@pytest.fixture(params=REAL, ids=lambda path: path.stem)
def real(request):
    return Config.fromfile(request.param)


def metainfo_classes(dataset):
    return list(DATASETS.get(dataset.type).METAINFO['classes'])


def test_every_encoder_comes_with_and_without_regularization():
    names = {path.stem for path in LEAVES}
    assert {f'ade20k_{encoder}{tail}' for encoder in ENCODERS for tail in ('', '_bottleneck')} <= names
    assert {'mixed_vit-l16', 'toy_zs'} <= names
    assert {f'{episodes}_{encoder}' for episodes in EPISODES for encoder in ('r101', 'vit-l16')} <= names
    assert {name.split('_')[0] for name in names} == set(WRITERS)


def test_vocabularies_list_the_data_sets_classes_in_their_order(cfg):
    head = cfg.model.decode_head
    assert class_names(head.get('test_classes') or head.train_classes) == metainfo_classes(cfg.test_dataloader.dataset)
    for part in parts(cfg.train_dataloader):
        last, kept = part.pipeline[-1], part.get('metainfo', {}).get('classes', metainfo_classes(part))
        assert kept == [name for name in metainfo_classes(part) if name not in HIDDEN.get(part.type, ())]
        if last.type == 'PackSegInputs':
            assert class_names(head.train_classes) == kept
        elif 'classes' in last:  # otherwise each episode names its classes
            assert class_names(last.classes) == kept


@pytest.mark.parametrize('label_set, size', [('cityscapes', 19), ('mapillary_v1', 65)])
def test_wordings_are_plain_words_of_one_class_each(label_set, size):
    wordings = [wording.lower() for entry in load_vocabulary(label_set).values() for wording in entry]
    assert size == len(wordings) == len(set(wordings))
    assert not [wording for wording in wordings if set(wording) & set('-_=\'",()')]


def test_images_are_normalised_as_the_backbones_weights_expect(cfg):
    preprocessor = cfg.model.data_preprocessor
    expected = NORMALISATION[cfg.model.backbone.type]
    assert (preprocessor.mean, preprocessor.std) == expected
    assert preprocessor.bgr_to_rgb


def test_architectures_are_the_papers(real):
    encoder, = (name for name in ENCODERS | OWN if name in Path(real.filename).stem)
    backbone, head = (ENCODERS | OWN)[encoder]
    if encoder.startswith('vit'):
        backbone, head = {**VIT, **backbone}, dict(head, readout_type='project')
    assert {key: real.model.backbone[key] for key in backbone} == backbone
    head = dict(head, type='LSegHead', channels=256, temperature=0.07)
    assert {key: real.model.decode_head[key] for key in head} == head
    clip = real.model.clip
    assert open_clip.get_model_config(clip.model)['embed_dim'] == (512 if encoder in ENCODERS else 1024)
    assert clip.weights in open_clip.list_pretrained_tags_by_model(clip.model)
    regularization = dict(type='SpatialRegularization', block='bottleneck', depth=2)
    assert real.model.decode_head.get('regularization') == (
        regularization if real.filename.endswith('_bottleneck.py') else None)


def test_images_follow_the_recipe(real):
    assert real.model.data_preprocessor['size'] == (480, 480) and real.model.size_divisor == 32
    squashed = Path(real.filename).stem.startswith(EPISODES)  # stretched to 480 x 480, so one window is enough
    assert (real.model.test_cfg.mode, real.model.test_cfg.crop_size) == (
        ('whole', None) if squashed else ('slide', (480, 480)))
    for part in parts(real.train_dataloader):
        steps = {step.type: step for step in part.pipeline}
        resize = steps['RandomResize']  # long sides of 260 to 1040 pixels
        assert (resize.scale, resize.ratio_range, resize.keep_ratio) == ((520, 520), (0.5, 2.0), True)
        assert steps['CountingRandomCrop'].crop_size == (480, 480) and steps['RandomFlip'].prob == 0.5


def test_the_schedule_is_the_papers(real):
    optimizer = dict(type='SGD', lr=0.004, momentum=0.9, weight_decay=0.0001)
    assert real.optim_wrapper.optimizer == optimizer
    assert real.auto_scale_lr == dict(enable=True, base_batch_size=16)
    scheduler, = real.param_scheduler
    assert (scheduler.type, scheduler.power, scheduler.by_epoch) == ('PolyLR', 0.9, False)
    assert scheduler.end == real.train_cfg.max_iters


@pytest.mark.parametrize('name', ['pascal5i_r101', 'coco20i_vit-l16'])
def test_the_fold_is_one_variable(name, monkeypatch):
    monkeypatch.setenv('FOLD', '3')
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    assert [int(loader.dataset.fold) for loader in loaders] == [3, 3, 3]
    assert cfg.work_dir == f'./work_dirs/lseg/{name}_fold3'


def test_ade20k_is_seen_for_240_epochs():
    cfg = Config.fromfile(CONFIGS / 'ade20k_vit-l16.py')
    images_in_a_step = cfg.auto_scale_lr.base_batch_size
    assert cfg.train_cfg.max_iters * images_in_a_step / 20210 == pytest.approx(240, rel=0.02)


@pytest.mark.parametrize('name', ['ade20k_vit-l16_bottleneck', 'ade20k_vit-b32', 'ade20k_r101', 'ade20k_clip-rn50'])
def test_new_parts_learn_ten_times_as_fast_as_the_encoder(name, tiny_vit):
    path = CONFIGS / f'{name}.py'
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(small(path, tiny_vit['model']))
    without_cuda.replace_sync_bn(cfg)
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    found = {id(one): (group['lr'], group['weight_decay'], group['momentum'])
             for group in groups for one in group['params']}
    learned = {key: one for key, one in model.named_parameters() if one.requires_grad}  # not the frozen ones
    for key, parameter in learned.items():
        new = key.startswith('decode_head.') and 'reassemble_blocks' not in key
        rate, *rest = found[id(parameter)]
        assert rate == pytest.approx(0.04 if new else 0.004) and rest == [0.0001, 0.9], key
    assert all(any(part in key for key in learned) for part in (
        'conv_seg.projection', 'fusion_blocks', 'backbone', 'convs.0'))

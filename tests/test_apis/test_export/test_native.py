"""Baked models in mmseg alone give the label maps of the models."""
import subprocess
import sys

import numpy as np
import pytest
import torch
from fixtures.exports import CLIP_NORM, RESNET, build, lseg, maps, mvp_seg, noise, text_model
from fixtures.lanes import WORLDWIDE
from fixtures.own_tokens import write_clip
from fixtures.proxies import DINO
from fixtures.text_models import ALL, HEADS
from mmengine.config import Config
from torch.nn import functional as F

from mmseg_mvp.apis import export_native, to_native
from mmseg_mvp.errors import UserError
from mmseg_mvp.models.text.example_rows import ExampleRows

ONE_EACH = dict(type='TemplatePrompts', templates='name')
FEW, WIDER = {'model.decode_head.train_classes': ALL}, {'model.decode_head.channels': 12}
IMAGES = [(2, 64, 96), (1, 77, 101), (1, 20, 33)]


def with_examples(cfg, model):
    """A class of words, one with examples beside words, and one of examples alone."""
    generator = torch.Generator().manual_seed(1)
    directions = {name: F.normalize(torch.randn(model.decode_head.classifier.embed_dim, generator=generator), dim=0)
                  for name in ('cat', 'widget')}
    model.set_classes(dict(dog=('dog', ), cat=('cat', ), widget=()), ExampleRows(directions))
    return cfg, model


# Each a model whose baked form has the same scores.
EXACT = {
    'fcn': lambda rn, vit: text_model(rn),
    'fcn_projection': lambda rn, vit: text_model(rn, channels=16),
    'fcn_padded': lambda rn, vit: text_model(rn, size_divisor=32),
    'fcn_mean': lambda rn, vit: text_model(rn, test_classes=['cat, kitten', 'dog', 'tree'], synonyms='mean'),
    'background': lambda rn, vit: text_model(
        rn, train_classes=['background', 'cat', 'dog'], test_classes=None, learn_background=True),
    'deeplabv2': lambda rn, vit: text_model(rn, 'TextDeepLabV2Head'),
    'deeplabv2_no_norm': lambda rn, vit: text_model(rn, 'TextDeepLabV2Head', norm_cfg=None),
    'deeplabv3plus': lambda rn, vit: text_model(rn, 'TextDeepLabV3PlusHead'),
    'upernet': lambda rn, vit: text_model(rn, 'TextUPerHead'),
    'segformer': lambda rn, vit: text_model(rn, 'TextSegformerHead'),
    'student': lambda rn, vit: build(dict(
        type='KnowledgeTransfer', backbone=RESNET, data_preprocessor=CLIP_NORM, unseen=['cat'],
        decode_head=dict(HEADS['TextDeepLabV2Head'], type='TextDeepLabV2Head', train_classes=ALL),
        teacher=mvp_seg(vit)[0].model, test_cfg=dict(mode='whole'))),
    'mvp_seg_vit': lambda rn, vit: mvp_seg(vit, gpr=None),
    'mvp_seg_vit_projection': lambda rn, vit: mvp_seg(
        vit, gpr=None, clip=dict(model='toy-rn', weights='toy'), in_channels=32,
        train_classes=['house', 'tree', 'boat']),
    'maskclip_vit': lambda rn, vit: mvp_seg(vit, gpr=None, prompts=ONE_EACH, scale=100.),
    'fcn_examples': lambda rn, vit: with_examples(*text_model(rn)),
    'mvp_seg_vit_examples': lambda rn, vit: with_examples(*mvp_seg(vit, gpr=None)),
    'mvp_seg_resnet': lambda rn, vit: mvp_seg(rn, gpr=None, backbone=RESNET, in_channels=64),
    'mvp_seg_resnet_no_projection': lambda rn, vit: mvp_seg(rn, gpr=None, backbone=dict(RESNET, base_channels=4))}


@pytest.fixture(scope='module')
def models(tiny_rn, tiny_vit):
    """Config and model by name, each built once."""
    built = {}
    return lambda name: built.setdefault(name, EXACT[name](tiny_rn, tiny_vit))


@pytest.mark.parametrize('name', EXACT)
def test_scores_and_label_maps_are_the_models(name, models):
    cfg, model = models(name)
    _, twin = to_native(cfg, model)
    assert type(twin).__module__.startswith('mmseg.')
    assert not any(type(module).__module__.startswith('mmseg_mvp') for module in twin.modules())
    seen = set()
    for images in (noise(*shape) for shape in IMAGES):
        (labels, scores), (twin_labels, twin_scores) = maps(model, images), maps(twin, images)
        assert torch.allclose(twin_scores, scores, rtol=1e-4, atol=1e-4 * float(scores.abs().max()))
        assert (twin_labels == labels).float().mean() > 0.999
        seen |= set(labels.unique().tolist())
    assert len(seen) > 1


@torch.no_grad()
@pytest.mark.parametrize('head', ['fcn', 'lseg'])
def test_cosines_become_products_of_the_same_order(head, tiny_rn, tiny_vit):
    """Without a norm in the stock head the scores grow by the length of the feature, which no argmax sees."""
    if head == 'fcn':
        cfg, model = text_model(tiny_rn, temperature=0.07, channels=16)
    else:
        cfg, model = lseg(tiny_vit, 'ade20k_vit-l16', **FEW, **WIDER)
    _, twin = to_native(cfg, model)
    x = torch.randn(2, 3, 64, 96)
    features = model.backbone(x)
    cosines, products = model.decode_head(features), twin.decode_head(twin.backbone(x))
    lengths = products.norm(dim=1, keepdim=True) / cosines.norm(dim=1, keepdim=True)
    assert torch.equal(cosines.argmax(dim=1), products.argmax(dim=1)) and len(cosines.argmax(dim=1).unique()) > 1
    assert torch.allclose(products, lengths * cosines, rtol=1e-4, atol=1e-4 * float(products.abs().max()))
    assert lengths.std() > 1e-3 * lengths.mean()


def test_lseg_ends_in_dpt(tiny_vit, tmp_path):
    cfg, model = lseg(tiny_vit, 'ade20k_vit-l16', **FEW, **WIDER)
    same = export_native(cfg, model, tmp_path / 'lseg.pth')
    assert Config.fromfile(tmp_path / 'lseg.py').model.decode_head.type == 'DPTHead'
    assert 0.9 < same <= 1  # the resize by 2 mixes scores of features of other lengths


def test_a_class_list_of_ones_own(tiny_vit):
    cfg, model = mvp_seg(tiny_vit, gpr=None)
    model.set_classes(['bus', 'river', 'a tall tree'])
    twin = to_native(cfg, model)[1]
    images = noise(1, 64, 64)
    assert torch.equal(maps(twin, images)[0], maps(model, images)[0])
    assert twin.decode_head.conv_seg.weight.shape[0] == 3


def test_the_normalisation_of_the_clip_is_written(tiny_vit):
    clip = {**tiny_vit, 'mean': (.5, .4, .3), 'std': (.2, .3, .4)}
    cfg, model = build(dict(type='CLIPEncoderDecoder', clip=clip, backbone=dict(type='CLIPImageEncoder'),
                            data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True),
                            decode_head=dict(type='MultiPromptTextHead', train_classes=ALL,
                                             prompts=dict(type='LearnedPrompts', context_length=4))))
    config, native = to_native(cfg, model)
    assert config.model.data_preprocessor.mean == [127.5, 102., 76.5]
    assert config.model.data_preprocessor.std == [51., 76.5, 102.]
    assert torch.equal(native.data_preprocessor.std, model.data_preprocessor.std)


def test_windows_of_mmseg_stay(tiny_rn):
    cfg, model = text_model(tiny_rn)
    model.test_cfg.update(mode='slide', crop_size=(64, 64), stride=(48, 48), keep_logits=True)
    twin = to_native(cfg, model)[1]
    assert 'keep_logits' not in twin.test_cfg
    images = noise(1, 100, 80)
    assert torch.equal(maps(twin, images)[0], maps(model, images)[0])


def test_config_is_plain(tiny_rn, tmp_path):
    cfg, model = text_model(tiny_rn)
    cfg.custom_imports = dict(imports=['mmseg_mvp', 'my_parts'], allow_failed_imports=False)
    cfg.test_pipeline = [dict(type='LoadCheckedImage'), dict(type='Resize', scale=(64, 64)), dict(type='PackSegInputs')]
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint='none.pth')
    assert export_native(cfg, model, tmp_path / 'new' / 'fcn.pth') > 0.999
    text = (tmp_path / 'new' / 'fcn.py').read_text()
    config = Config.fromfile(tmp_path / 'new' / 'fcn.py', import_custom_modules=False)
    assert 'mmseg_mvp' not in text and 'init_cfg' not in text and config.custom_imports.imports == ['my_parts']
    assert [step.type for step in config.test_pipeline] == ['LoadImageFromFile', 'Resize', 'PackSegInputs']
    assert (config.model.type, config.model.decode_head.type) == ('EncoderDecoder', 'FCNHead')
    checkpoint = torch.load(tmp_path / 'new' / 'fcn.pth', weights_only=True)
    assert checkpoint['meta']['dataset_meta']['classes'] == ALL
    assert not any('classifier' in name for name in checkpoint['state_dict'])


SCRIPT = """
import sys
sys.modules['mmseg_mvp'] = None  # importing it fails
import numpy as np
from mmseg.apis import inference_model, init_model
for name in sys.argv[2:]:
    model = init_model(f'{sys.argv[1]}/{name}.py', f'{sys.argv[1]}/{name}.pth', device='cpu')
    image = np.load(f'{sys.argv[1]}/image.npy')
    np.save(f'{sys.argv[1]}/{name}.npy', inference_model(model, image).pred_sem_seg.data[0].numpy())
assert 'open_clip' not in sys.modules
"""


@pytest.mark.slow
def test_runs_where_mmseg_mvp_can_not_be_imported(models, tmp_path):
    names = list(EXACT)
    image = noise(1, 77, 101)
    np.save(tmp_path / 'image.npy', image[0].numpy()[..., ::-1])  # mmseg takes arrays as BGR
    for name in names:
        export_native(*models(name), tmp_path / f'{name}.pth')
    result = subprocess.run([sys.executable, '-c', SCRIPT, tmp_path, *names], cwd=tmp_path, capture_output=True,
                            text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    for name in names:
        expected = maps(models(name)[1], image)[0][0]
        assert (np.load(tmp_path / f'{name}.npy') == expected.numpy()).mean() > 0.999, name


class TestRefused:

    @pytest.mark.parametrize('make, reason', [
        (lambda rn, vit: mvp_seg(vit), r'GPR needs the whole image .*\(--no-gpr'),
        (lambda rn, vit: mvp_seg(vit, gpr=None, fusion='logsumexp'), "The fusion 'logsumexp' needs the scores of each"),
        (lambda rn, vit: mvp_seg(vit, gpr=None, backbone=dict(type='CLIPImageEncoder', dense='naclip')),
         "the dense variant 'naclip', not 'maskclip': export it as ONNX"),
        (lambda rn, vit: mvp_seg(vit, gpr=None, backbone=dict(type='CLIPImageEncoder', dense=dict(
            type='proxy', model=DINO, pretrained=False))), 'mixed by a second network'),
        (lambda rn, vit: mvp_seg(rn, gpr=None), "CLIP's own ResNet, but mmseg has no such backbone"),
        (lambda rn, vit: text_model(rn, regularization=dict(type='SpatialRegularization')), 'SpatialRegularization'),
        (lambda rn, vit: text_model(rn, test_classes=['cat, kitten', 'dog']), r"\['cat'\] have several wordings"),
        (lambda rn, vit: lseg(vit, 'ade20k_r101', **FEW), 'patches of 16 pixels only'),
        (lambda rn, vit: lseg(vit, 'ade20k_vit-b32', **FEW), 'patches of 16 pixels only'),
        (lambda rn, vit: lseg(vit, 'ade20k_vit-l16', **FEW), '8 channels carry 4 classes at most and there are 5'),
        (lambda rn, vit: build(dict(type='EncoderDecoder', backbone=RESNET, decode_head=dict(
            type='FCNHead', in_channels=64, channels=8, num_classes=3), test_cfg=dict(mode='whole'))),
         'EncoderDecoder does not classify by text')], ids=lambda value: str(value)[:20])
    def test_in_one_sentence(self, make, reason, tiny_rn, tiny_vit, tmp_path):
        with pytest.raises(UserError, match=reason) as error:
            export_native(*make(tiny_rn, tiny_vit), tmp_path / 'x.pth')
        assert '\n' not in str(error.value) and not list(tmp_path.iterdir())

    def test_a_tower_of_timm(self, tmp_path):
        with pytest.raises(UserError, match='The image tower comes from timm, .*: export it as ONNX'):
            to_native(*mvp_seg(write_clip(tmp_path, 'siglip'), gpr=None))

    @WORLDWIDE
    def test_metaclip_2_is_a_vit(self, tmp_path):
        cfg, model = mvp_seg(write_clip(tmp_path, 'mt5'), gpr=None)
        images = noise(1, 48, 64)
        assert torch.equal(maps(to_native(cfg, model)[1], images)[0], maps(model, images)[0])

    def test_without_gpr_the_rest_is_baked(self, tiny_vit):
        cfg, model = mvp_seg(tiny_vit)
        model.decode_head.gpr = None
        images = noise(1, 48, 64)
        assert torch.equal(maps(to_native(cfg, model)[1], images)[0], maps(model, images)[0])

    @pytest.mark.parametrize('taken', ['x.pth', 'x.py'])
    def test_files_that_are_there(self, taken, tiny_rn, tmp_path):
        (tmp_path / taken).write_text('precious')
        with pytest.raises(UserError, match=f'{taken} exists already: name a new file'):
            export_native(*text_model(tiny_rn), tmp_path / 'x.pth')
        assert (tmp_path / taken).read_text() == 'precious' and len(list(tmp_path.iterdir())) == 1

    def test_another_ending(self, tiny_rn, tmp_path):
        with pytest.raises(UserError, match='end it in .pth'):
            export_native(*text_model(tiny_rn), tmp_path / 'x.onnx')

    def test_a_twin_that_does_something_else(self, tiny_rn, tmp_path, monkeypatch):
        cfg, model = text_model(tiny_rn)
        monkeypatch.setattr('mmseg_mvp.apis.export.native.fill_head', lambda *args: None)
        with pytest.raises(UserError, match='of the labels differ'):
            export_native(cfg, model, tmp_path / 'x.pth')

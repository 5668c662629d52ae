"""ONNX files, run by onnxruntime, against the models themselves."""
import json
import sys

import numpy as np
import onnx
import onnxruntime
import open_clip
import pytest
import torch
from fixtures.exports import CLIP_NORM, build, lseg, maps, mvp_seg, noise, text_model, toy_images
from fixtures.lanes import WORLDWIDE
from fixtures.own_tokens import write_clip
from fixtures.proxies import DINO
from fixtures.text_models import ALL, head_config
from fixtures.timm_builders import shrunken
from mmseg.registry import MODELS
from torch import nn

import mmseg_mvp
from mmseg_mvp.apis import export_onnx, save_embeddings
from mmseg_mvp.apis.export.onnx_file import OPSETS
from mmseg_mvp.apis.export.traceable import text_embeddings
from mmseg_mvp.errors import UserError

SIZES = [(2, 64, 64), (1, 33, 130), (3, 97, 50)]
TOY = dict(model='toy-rn', weights='toy')
NAMES = ['house', 'tree', 'red boat']
MIT = dict(type='MixVisionTransformer', embed_dims=8, num_layers=(1, 1, 1, 1), num_heads=(1, 2, 4, 8),
           patch_sizes=(7, 3, 3, 3), sr_ratios=(8, 4, 2, 1))
MODELS_OF = {
    'mvp_seg_rn_gpr': lambda rn, vit: mvp_seg(TOY, train_classes=[*NAMES, 'bird']),
    'mvp_seg_vit_gpr': lambda rn, vit: mvp_seg(vit),
    'mvp_seg_vit_resclip': lambda rn, vit: mvp_seg(vit, backbone=dict(
        type='CLIPImageEncoder', dense=dict(type='resclip', middle=[0, 1], neighbourhood=1.5))),
    'mvp_seg_vit_clearclip': lambda rn, vit: mvp_seg(
        vit, backbone=dict(type='CLIPImageEncoder', dense='clearclip')),
    'mvp_seg_vit_sclip': lambda rn, vit: mvp_seg(vit, backbone=dict(type='CLIPImageEncoder', dense='sclip')),
    'mvp_seg_rn_kk': lambda rn, vit: mvp_seg(TOY, train_classes=[*NAMES, 'bird'], backbone=dict(
        type='CLIPImageEncoder', dense=dict(type='kk', neighbourhood=5.))),
    'mvp_seg_logsumexp': lambda rn, vit: mvp_seg(TOY, fusion='logsumexp', train_classes=[*NAMES, 'bird, fish']),
    'mvp_seg_learned_sharpness': lambda rn, vit: mvp_seg(vit, gpr=None, fusion=dict(type='logsumexp', learned=True)),
    'deeplabv3plus_logsumexp': lambda rn, vit: text_model(
        rn, 'TextDeepLabV3PlusHead', temperature=0.07, fusion='logsumexp', prompts=dict(type='LearnedPrompts', std=1.)),
    'maskclip_toy': lambda rn, vit: mvp_seg(
        TOY, gpr=None, train_classes=[*NAMES, 'bird, fish'], scale=100., prompts=dict(type='TemplatePrompts')),
    'lseg_clip_rn': lambda rn, vit: lseg(rn, 'toy_zs', **{'model.decode_head.test_classes': NAMES}),
    'lseg_vit_bottleneck': lambda rn, vit: lseg(vit, 'ade20k_vit-l16_bottleneck', **FEW),
    'lseg_resnet': lambda rn, vit: lseg(vit, 'ade20k_r101', **FEW),
    'deeplabv3plus': lambda rn, vit: text_model(rn, 'TextDeepLabV3PlusHead', temperature=0.07),
    'upernet_background': lambda rn, vit: text_model(
        rn, 'TextUPerHead', train_classes=['background', *ALL], test_classes=None, learn_background=True),
    'segformer': lambda rn, vit: build(dict(
        type='OpenVocabEncoderDecoder', backbone=MIT, data_preprocessor=dict(CLIP_NORM, bgr_to_rgb=False),
        decode_head=head_config(rn, 'TextSegformerHead', in_channels=[8, 16, 32, 64]), test_cfg=dict(mode='whole')))}
FEW = {'model.decode_head.train_classes': ALL}
SLOW = ('mvp_seg_learned_sharpness', 'lseg_clip_rn', 'maskclip_toy', 'mvp_seg_vit_resclip', 'mvp_seg_vit_sclip',
        'mvp_seg_vit_clearclip', 'mvp_seg_rn_kk', 'lseg_vit_bottleneck', 'lseg_resnet', 'deeplabv3plus', 'segformer')


def run(path, images, **inputs):
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return [torch.from_numpy(output) for output in session.run(None, dict(inputs, images=images.numpy()))]


def check(path, model, images, **inputs):
    labels, scores = run(path, images, **inputs)
    expected_labels, expected = maps(model, images)
    assert labels.shape == expected_labels.shape and labels.dtype == torch.int64
    assert (labels == expected_labels).float().mean() >= 0.999
    assert (scores - expected).abs().max() < 1e-3
    return set(expected_labels.unique().tolist())


@pytest.mark.parametrize('name', [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name
                                  for name in MODELS_OF])
def test_any_batch_and_size(name, tiny_rn, tiny_vit, tmp_path):
    _, model = MODELS_OF[name](tiny_rn, tiny_vit)
    model.test_cfg.mode = 'whole'
    export_onnx(model, tmp_path / 'model.onnx', scores=True)
    seen = set()
    for images in (*(noise(*size) for size in SIZES), toy_images(2)):
        seen |= check(tmp_path / 'model.onnx', model, images)
    assert len(seen) > 1


def timm_clip(folder, model):
    """The ``clip`` config of a model of open_clip with a small text tower; timm must be shrunken."""
    config = open_clip.get_model_config(model)
    small = dict(context_length=77, vocab_size=49408, width=32, heads=2, layers=1)
    size = 32 if 'SigLIP' in model else 64  # SigLIP has no projection
    config.update(embed_dim=size, text_cfg=small, vision_cfg=dict(config['vision_cfg'], image_size=64))
    (folder / 'model.json').write_text(json.dumps(config))
    return dict(model=str(folder / 'model.json'))


@pytest.mark.parametrize('name, dense, fixed', [
    ('ViT-B-16-SigLIP', 'maskclip', False), ('PE-Core-B-16', 'maskclip', True), *(
        pytest.param(*row, marks=pytest.mark.slow) for row in (
            ('ViT-SO400M-14-SigLIP2', dict(type='kk', neighbourhood=2.), False), ('ViT-B-16-SigLIP', 'vv', False),
            ('EVA01-g-14', 'maskclip', False), ('EVA02-E-14', 'clearclip', False), ('EVA02-B-16', 'maskclip', True),
            ('EVA02-B-16', 'naclip', True), ('MobileCLIP-B', 'sclip', False), ('convnext_base', 'maskclip', False),
            ('MobileCLIP-S1', 'maskclip', False)))], ids=str)
def test_towers_of_timm(name, dense, fixed, tmp_path):
    with shrunken(name):
        _, model = mvp_seg(timm_clip(tmp_path, name), backbone=dict(type='CLIPImageEncoder', dense=dense))
        if fixed:
            with pytest.raises(UserError, match='fix them with --shape'):
                export_onnx(model, tmp_path / 'any.onnx', scores=True)
        export_onnx(model, tmp_path / 'model.onnx', scores=True, shape=(2, 96, 64) if fixed else None)
        for size in [(2, 96, 64)] if fixed else SIZES:
            check(tmp_path / 'model.onnx', model, noise(*size))


@pytest.mark.parametrize('kind', ['siglip', pytest.param('siglip2', marks=pytest.mark.slow),
                                  pytest.param('xlm-v', marks=[pytest.mark.slow, WORLDWIDE])])
def test_a_clip_with_a_tokenizer_of_its_own(kind, tmp_path):
    _, model = mvp_seg(write_clip(tmp_path, kind))
    export_onnx(model, tmp_path / 'model.onnx', scores=True, open_vocabulary=True)
    model.set_classes(['cat', 'traffic light', 'sky'])
    check(tmp_path / 'model.onnx', model, noise(1, 33, 130), text=text_embeddings(model).numpy())


@pytest.mark.parametrize('make', [
    lambda rn, vit: mvp_seg(vit), lambda rn, vit: mvp_seg(rn, gpr=None),
    lambda rn, vit: mvp_seg(rn, fusion='logsumexp'),
    lambda rn, vit: text_model(rn, temperature=0.07, channels=16, train_classes=['background', *ALL], test_classes=None,
                               learn_background=True)], ids=['gpr', 'no gpr', 'logsumexp', 'text head'])
def test_classes_stay_open(make, tiny_rn, tiny_vit, tmp_path):
    _, model = make(tiny_rn, tiny_vit)
    export_onnx(model, tmp_path / 'model.onnx', scores=True, open_vocabulary=True)
    for number, classes in enumerate((['bus', 'tree'], ['river', 'background', 'cat', 'dog', 'cow', 'a red car'])):
        model.set_classes(classes)
        save_embeddings(model, tmp_path / f'{number}.npz')
        saved = np.load(tmp_path / f'{number}.npz')  # which unpickles nothing
        assert saved['classes'].tolist() == classes and saved['text'].shape[1:] == (len(classes), 32)
        check(tmp_path / 'model.onnx', model, noise(2, 50, 70), text=saved['text'])


def test_what_the_file_says(tiny_rn, tmp_path):
    _, model = mvp_seg(tiny_rn)
    export_onnx(model, tmp_path / 'model.onnx', opset=16, input_size='{}')
    file = onnx.load(str(tmp_path / 'model.onnx'))
    onnx.checker.check_model(file, full_check=True)
    said = {entry.key: entry.value for entry in file.metadata_props}
    assert json.loads(said['classes']) == ALL and said['input_size'] == '{}'
    assert said['fingerprint'] == model.decode_head.classifier.clip.fingerprint
    assert said['writer'] == f'mmseg_mvp {mmseg_mvp.__version__}'
    assert str(tmp_path) not in str(said) and '/' not in said['clip']
    assert [node.op_type for node in file.graph.node if 'images' in node.input] == ['Cast'], 'TensorRT takes no other'
    assert file.opset_import[0].version == 16 and [output.name for output in file.graph.output] == ['labels']
    assert [dim.dim_param for dim in file.graph.input[0].type.tensor_type.shape.dim] == ['batch', 'height', 'width', '']


@pytest.mark.parametrize('opset', [OPSETS[0], OPSETS[-1]])
def test_both_ends_of_the_opsets(opset, tiny_vit, tmp_path):
    _, model = mvp_seg(tiny_vit)
    export_onnx(model, tmp_path / 'model.onnx', opset=opset)
    assert torch.equal(run(tmp_path / 'model.onnx', noise(1, 40, 60))[0], maps(model, noise(1, 40, 60))[0])


def test_the_model_stays_as_it_is(tiny_vit, tmp_path):
    _, model = mvp_seg(tiny_vit, backbone=dict(type='CLIPImageEncoder', autocast='bfloat16'))
    before, types = maps(model, noise(1, 64, 64))[1], [type(module) for module in model.modules()]
    tower = model.backbone.tower.module
    with pytest.raises(UserError):  # bfloat16 gives other scores than the file, which has float32
        export_onnx(model, tmp_path / 'model.onnx', scores=True)
    assert torch.equal(maps(model, noise(1, 64, 64))[1], before)
    assert [type(module) for module in model.modules()] == types and model.backbone.tower.module is tower
    assert [type(module) for module in tower.modules()].count(nn.MultiheadAttention) == len(tower.channels)


@MODELS.register_module()
class FixedSizeBackbone(nn.Module):
    """Turns sizes into plain numbers, which no tracing sees."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 8, 8)

    def forward(self, x):
        x = self.conv(x)
        batch, channels, height, width = map(int, x.shape)
        return (x.reshape(batch, channels, height * width).cumsum(2).reshape(batch, channels, height, width), )


def test_a_model_that_keeps_the_traced_size(tiny_rn, tmp_path):
    _, model = build(dict(type='OpenVocabEncoderDecoder', backbone=dict(type='FixedSizeBackbone'),
                          data_preprocessor=CLIP_NORM, test_cfg=dict(mode='whole'),
                          decode_head=head_config(tiny_rn, in_index=0)))
    with pytest.raises(UserError, match='FixedSizeBackbone with TextFCNHead does not do .* fix them with --shape'):
        export_onnx(model, tmp_path / 'model.onnx')
    assert not list(tmp_path.iterdir())
    export_onnx(model, tmp_path / 'model.onnx', scores=True, shape=(2, 40, 50))
    check(tmp_path / 'model.onnx', model, noise(2, 40, 50))


class TestRefused:

    @pytest.mark.parametrize('opset', [13, 99])
    def test_opset(self, opset, tiny_rn, tmp_path):
        with pytest.raises(UserError, match=f'ONNX opset {opset} is not supported: expected 14 to (17|20)'):
            export_onnx(mvp_seg(tiny_rn)[1], tmp_path / 'model.onnx', opset=opset)

    @pytest.mark.parametrize('package', ['onnx', 'onnxruntime'])
    def test_missing_package(self, package, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf'{package} is not installed.* pip install -e "\.\[export\]"'):
            export_onnx(None, tmp_path / 'model.onnx')

    def test_several_wordings(self, tiny_rn, tmp_path):
        model = mvp_seg(tiny_rn, train_classes=['cat, kitten', 'dog'])[1]
        with pytest.raises(UserError, match=r"\['cat'\] have several wordings, .*but an open vocabulary"):
            export_onnx(model, tmp_path / 'model.onnx', open_vocabulary=True)
        with pytest.raises(UserError, match='a file of embeddings'):
            save_embeddings(model, tmp_path / 'x.npz')

    def test_embeddings_of_another_ending(self, tiny_rn, tmp_path):
        with pytest.raises(UserError, match='end it in .npz'):
            save_embeddings(mvp_seg(tiny_rn)[1], tmp_path / 'x.txt')

    def test_what_the_exporter_can_not_do(self, tiny_rn, tmp_path, monkeypatch):

        def fail(*args, **kwargs):
            raise RuntimeError('no such\noperator')

        monkeypatch.setattr(torch.onnx, 'export', fail)
        with pytest.raises(UserError, match=r"can't be exported at opset 17 \(no such operator\)"):
            export_onnx(mvp_seg(tiny_rn)[1], tmp_path / 'model.onnx')
        assert not list(tmp_path.iterdir())

    def test_a_proxy(self, tiny_clip, tmp_path):
        dense = dict(type='proxy', model=DINO, pretrained=False)
        with pytest.raises(UserError, match="mixed by a second network .* another variant, such as .*'clearclip'"):
            export_onnx(mvp_seg(tiny_clip, backbone=dict(type='CLIPImageEncoder', dense=dense))[1],
                        tmp_path / 'model.onnx')
        assert not list(tmp_path.iterdir())

    def test_a_file_that_is_there(self, tiny_rn, tmp_path):
        (tmp_path / 'model.onnx').write_text('precious')
        with pytest.raises(UserError, match='model.onnx exists already: name a new file'):
            export_onnx(mvp_seg(tiny_rn)[1], tmp_path / 'model.onnx')
        assert (tmp_path / 'model.onnx').read_text() == 'precious'

"""Conversion of official LSeg checkpoints: weights, report, and refused files."""
import os
import runpy
import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from fixtures.official_lseg import FULL, HEADS, HOOKS, KINDS, SMALL, forward, random_state
from fixtures.refusals import refused
from fixtures.tools import TOOLS, load_tool
from mmengine.config import Config, ConfigDict
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS

from mmseg_mvp.clip import load_clip
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.files import save_checkpoint

pytestmark = pytest.mark.usefixtures('mmseg_scope')

EMBED_DIM = 32  # of the tiny CLIPs
NAMES = ['sheep', 'cat', 'tree', 'traffic light']
FOLDER = TOOLS / 'model_converters'
LONG = 'x' * 5000
CLASS_OF_LIGHTNING = 'pytorch_lightning.callbacks.model_checkpoint'
TRAINING = dict(epoch=3, global_step=99, optimizer_states=[dict(state={}, param_groups=[dict(lr=0.004)])])


@pytest.fixture(scope='module')
def tool():
    return load_tool('lseg2mmseg.py', FOLDER)


@pytest.fixture
def run(tool, monkeypatch, capsys):
    """Return a function that converts SRC to DST as the command line does and returns the printed text."""

    def run(source, target):
        monkeypatch.setattr(sys, 'argv', ['lseg2mmseg.py', str(source), str(target)])
        tool.main()
        return capsys.readouterr().out

    return run


def save(path, state, **others):
    """Write a checkpoint as Lightning does."""
    torch.save(dict(state_dict={f'net.{name}': value for name, value in state.items()}, **TRAINING, **others), path)
    return path


def build(kind, clip, regularization=None):
    """Build our model for the weights of the fixture."""
    sizes = SMALL[kind]
    head = dict(type='LSegHead', channels=sizes['fusion'], clip=clip, train_classes=NAMES,
                regularization=regularization)
    if kind == 'rn101':
        backbone = dict(type='ResNet', depth=101, stem_channels=sizes['stem'], base_channels=sizes['maps'][0] // 4)
        head.update(in_channels=list(sizes['maps']), readout_type=None)
    else:
        patch = 16 if kind == 'vit_l16' else 32
        backbone = dict(
            type='VisionTransformer', img_size=sizes['side'] * patch, patch_size=patch, patch_bias=True,
            embed_dims=sizes['embed'], num_heads=HEADS, num_layers=HOOKS[kind][-1] + 1, out_indices=HOOKS[kind],
            output_cls_token=True, final_norm=False, interpolate_mode='bilinear', norm_cfg=dict(type='LN', eps=1e-6))
        head.update(in_channels=sizes['embed'], patch_size=patch, post_process_channels=sizes['maps'])
    return MODELS.build(ConfigDict(dict(
        type='OpenVocabEncoderDecoder', backbone=backbone, decode_head=head, test_cfg=dict(mode='whole')))).eval()


def load(model, path):
    """Load as tools/test.py does."""
    load_checkpoint(model, str(path), map_location='cpu', strict=False)
    return model


@torch.no_grad()
@pytest.mark.parametrize('kind', KINDS)
def test_converted_weights_score_as_the_official_forward_pass(kind, tiny_vit, run, tmp_path):
    state = random_state(kind, EMBED_DIM)
    run(save(tmp_path / 'official.ckpt', state), tmp_path / 'ours.pth')
    model = load(build(kind, tiny_vit), tmp_path / 'ours.pth')
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    text = model.decode_head.classifier.score_weights()[0]
    expected = forward(state, kind, image, text)
    assert expected.shape == (2, 4, 32, 48) and expected.std() > 0.1
    assert torch.allclose(model.decode_head(model.extract_feat(image)), expected, atol=1e-4, rtol=1e-4)
    expected = torch.nn.functional.interpolate(expected, scale_factor=2, mode='bilinear', align_corners=True)
    assert torch.allclose(model.encode_decode(image, [{}]), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize('block', ['depthwise', 'bottleneck'])
def test_a_spatial_regularization_arrives(block, tiny_vit, run, tmp_path):
    state = random_state('rn101', EMBED_DIM, regularized=True)
    said = run(save(tmp_path / 'official.ckpt', state), tmp_path / 'ours.pth')
    assert 'set decode_head.regularization' in said
    config = dict(type='SpatialRegularization', block=block, activation='relu', depth=2)
    model = load(build('rn101', tiny_vit, config), tmp_path / 'ours.pth')
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = forward(state, 'rn101', image, model.decode_head.classifier.score_weights()[0], block, depth=2)
    assert torch.allclose(model.decode_head(model.extract_feat(image)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('kind', KINDS)
def test_every_weight_of_the_model_is_one_of_the_file(kind, tiny_vit, run, tmp_path):
    state = random_state(kind, EMBED_DIM)
    run(save(tmp_path / 'official.ckpt', state), tmp_path / 'ours.pth')
    written = torch.load(tmp_path / 'ours.pth', weights_only=True)
    assert written['meta']['converted_from'] == 'official.ckpt'
    ours = load(build(kind, tiny_vit), tmp_path / 'ours.pth').state_dict()
    assert ours.keys() == written['state_dict'].keys() | {'decode_head.conv_seg.classifier._extra_state'}
    assert torch.isclose(ours['decode_head.conv_seg.log_scale'].exp(), torch.tensor(1 / 0.07))
    used = [name for name in state if not name.startswith((
        'clip_pretrained', 'pretrained.model.norm', 'pretrained.model.head', 'scratch.refinenet4.resConfUnit1'))]
    values = {tuple(value.flatten().tolist()): value.shape for name, value in ours.items()
              if not name.endswith(('log_scale', 'extra_state'))}
    assert values == {tuple(state[name].flatten().tolist()): state[name].shape for name in used}
    assert len(ours) == len(used) + 2  # the scale and the name of the CLIP


@pytest.mark.parametrize('kind, config', [
    ('vit_l16', 'ade20k_vit-l16_bottleneck'), ('vit_b32', 'ade20k_vit-b32'), ('rn101', 'ade20k_r101')])
def test_shipped_configs_have_the_released_sizes(kind, config, tool, tiny_vit, monkeypatch):
    cfg = Config.fromfile(TOOLS.parent / 'configs' / 'lseg' / f'{config}.py').model
    cfg.clip = tiny_vit
    load_clip(**tiny_vit)  # its values are needed
    # Shapes without values; mmseg reads the values of a linspace, open_clip those of an arange.
    for name in ('linspace', 'arange'):
        monkeypatch.setattr(torch, name, partial(getattr(torch, name), device='cpu'))
    with torch.device('meta'):
        official = random_state(kind, EMBED_DIM, regularized='bottleneck' in config, sizes=FULL)
        converted, _ = tool.convert(official)
        model = MODELS.build(cfg)
    ours = {name: value.shape for name, value in model.state_dict().items() if not name.endswith('_extra_state')}
    assert ours == {name: value.shape for name, value in converted.items()}


@pytest.mark.parametrize('wrap', [
    lambda state: {f'net.{name}': value for name, value in state.items()},  # test_lseg.py --export
    lambda state: state, lambda state: dict(model=state, optimizer={})], ids=['exported', 'bare', 'model'])
def test_state_dicts_are_read_as_well(wrap, run, tmp_path):
    state = random_state('rn101', EMBED_DIM)
    torch.save(wrap(state), tmp_path / 'official.pth')
    run(tmp_path / 'official.pth', tmp_path / 'ours.pth')
    weight = torch.load(tmp_path / 'ours.pth')['state_dict']['decode_head.conv_seg.projection.weight']
    assert torch.equal(weight, state['scratch.head1.weight'])


def test_unused_and_missing_keys_are_told(run, tmp_path):
    state = random_state('vit_l16', EMBED_DIM)
    state['scratch.output_conv.2.weight'] = torch.ones(2)
    del state['pretrained.model.blocks.3.attn.qkv.bias'], state['scratch.layer2_rn.weight']
    lines = run(save(tmp_path / 'official.ckpt', state), tmp_path / 'ours.pth').splitlines()
    unused = 2 + 2 + 2 + 2 * (1 + 5) + 1  # CLIP, norm, ImageNet's head, two convolutions with their norms, the stranger
    assert f'{len(state) - unused} weights converted.' in lines
    told = [line for line in lines if line.startswith('Not used: ')]
    assert [line.split(',')[0] for line in told] == [
        'Not used: epoch', 'Not used: clip_pretrained.* (2 keys)', 'Not used: pretrained.model.norm.* (2 keys)',
        'Not used: pretrained.model.head.* (2 keys)', 'Not used: scratch.refinenet4.resConfUnit1.* (12 keys)',
        'Not used: scratch.output_conv.2.weight']
    assert told[0] == 'Not used: epoch, global_step, optimizer_states, which are not weights.'
    assert [line.split(',')[0] for line in lines if line.startswith('MISSING')] == [
        'MISSING: pretrained.model.blocks.3.attn.qkv.bias -> backbone.layers.3.attn.attn.in_proj_bias',
        'MISSING: scratch.layer2_rn.weight -> decode_head.convs.1.conv.weight']


@pytest.mark.parametrize('size, clip', [(512, 'ViT-B-32-quickgelu'), (768, 'RN50x16-quickgelu')])
def test_the_clip_of_the_released_models_is_told(size, clip, run, tmp_path):
    assert clip in run(save(tmp_path / 'official.ckpt', random_state('rn101', size)), tmp_path / 'ours.pth')


def test_loading_says_that_the_file_names_no_clip(tiny_vit, run, tmp_path, capsys):
    said = run(save(tmp_path / 'official.ckpt', random_state('rn101', EMBED_DIM)), tmp_path / 'ours.pth')
    assert 'classifier._extra_state' in said
    load(build('rn101', tiny_vit), tmp_path / 'ours.pth')
    out = capsys.readouterr().out
    assert 'missing keys in source state_dict: decode_head.conv_seg.classifier._extra_state\n' in out
    assert 'unexpected' not in out


class TestLightningBefore15:
    """Lightning stored the state of callbacks under their classes."""

    @pytest.fixture
    def lightning(self, monkeypatch):
        """A class in a fake package, so that it can be pickled."""
        parts = CLASS_OF_LIGHTNING.split('.')
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, '.'.join(parts[:end]), ModuleType('.'.join(parts[:end])))
        module = sys.modules[CLASS_OF_LIGHTNING]
        module.ModelCheckpoint = type('ModelCheckpoint', (), dict(__module__=CLASS_OF_LIGHTNING))
        module.AttributeDict = type('AttributeDict', (dict,), dict(__module__=CLASS_OF_LIGHTNING))
        return module

    def test_is_read_without_lightning(self, lightning, run, tmp_path, monkeypatch):
        state = random_state('rn101', EMBED_DIM)
        hyper = lightning.AttributeDict(backbone='clip_resnet101')
        hyper.more = 1
        source = save(tmp_path / 'official.ckpt', state, hyper_parameters=hyper,
                      callbacks={lightning.ModelCheckpoint: dict(best_model_score=torch.tensor(0.5))})
        monkeypatch.undo()  # remove the fake package
        run(source, tmp_path / 'ours.pth')
        assert len(torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']) > 300


class TestRefused:

    @pytest.fixture
    def refuse(self, run, tmp_path):
        """Return a function that returns the error message for a source; nothing is written."""

        def refuse(source):
            with pytest.raises(UserError) as error:
                run(source, tmp_path / 'ours.pth')
            assert not (tmp_path / 'ours.pth').exists() and '\n' not in str(error.value)
            return str(error.value)

        return refuse

    def test_no_file(self, refuse, tmp_path):
        assert 'none.ckpt does not exist' in refuse(tmp_path / 'none.ckpt')

    @pytest.mark.parametrize('part', [0., 0.5, 0.99])
    def test_truncated(self, part, refuse, tmp_path):
        source = save(tmp_path / 'official.ckpt', random_state('rn101', EMBED_DIM))
        source.write_bytes(source.read_bytes()[:int(part * source.stat().st_size)])
        assert "official.ckpt can't be read (" in refuse(source)

    def test_no_checkpoint_at_all(self, refuse, tmp_path):
        (tmp_path / 'page.ckpt').write_text('<html>Virus scan warning</html>')  # as after a failed download
        assert "page.ckpt can't be read (" in refuse(tmp_path / 'page.ckpt')

    def test_a_tensor(self, refuse, tmp_path):
        torch.save(torch.ones(3), tmp_path / 'tensor.pth')
        assert 'holds a Tensor instead of a dict' in refuse(tmp_path / 'tensor.pth')

    @pytest.mark.parametrize('missing', ['pretrained.', 'scratch.', ''])
    def test_other_weights(self, missing, refuse, tmp_path):
        state = random_state('vit_b32', EMBED_DIM)
        state = {name: value for name, value in state.items() if not name.startswith(missing)}
        said = refuse(save(tmp_path / 'other.ckpt', state))
        assert f'found, but {len(state)} entries such as' in said and 'net.scratch.head1.weight' in said

    @pytest.mark.parametrize('name, shape, said', [
        ('scratch.refinenet2.out_conv.weight', (8, 9, 1, 1), 'is (8, 9, 1, 1) instead of (8, 8, 1, 1)'),
        ('pretrained.model.blocks.7.attn.qkv.weight', (32, 16), 'is (32, 16) instead of (48, 16)'),
        ('pretrained.model.patch_embed.proj.weight', (16, 3, 14, 14), 'is (16, 3, 14, 14) instead of (16, 3, 16, 16)'),
        ('pretrained.act_postprocess2.0.project.0.weight', (16, 16), 'is (16, 16) instead of (16, 32)'),
        ('pretrained.model.cls_token', (16,), "is (16,) instead of (1, 1, 'E')"),
        ('scratch.head1.bias', (), 'is () instead of (32,)')])
    def test_shapes_that_do_not_fit(self, name, shape, said, refuse, tmp_path):
        state = dict(random_state('vit_l16', EMBED_DIM), **{name: torch.zeros(shape)})
        sentence = refuse(save(tmp_path / 'official.ckpt', state))
        assert f'1 weights have a wrong shape, such as {name} {said}' in sentence

    @pytest.mark.parametrize('zipped', [True, False])
    def test_code_in_the_file_never_runs(self, zipped, refuse, tmp_path):

        class Payload:

            def __reduce__(self):
                return os.mkdir, (str(tmp_path / 'it_ran'),)

        content = dict(state_dict=random_state('rn101', EMBED_DIM), hyper_parameters=Payload())
        torch.save(content, tmp_path / 'evil.ckpt', _use_new_zipfile_serialization=zipped)
        said = refuse(tmp_path / 'evil.ckpt')
        assert f'asks for {os.name}.mkdir' in said
        assert not (tmp_path / 'it_ran').exists()

    def test_what_is_there_is_not_overwritten(self, run, tmp_path):
        (tmp_path / 'ours.pth').write_text('precious')
        with pytest.raises(UserError, match='ours.pth exists already: name a new file'):
            run(tmp_path / 'none.ckpt', tmp_path / 'ours.pth')
        assert (tmp_path / 'ours.pth').read_text() == 'precious'

    def test_the_command_line_prints_one_sentence(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(sys, 'argv', ['lseg2mmseg.py', str(tmp_path / 'none.ckpt'), str(tmp_path / 'ours.pth')])
        monkeypatch.syspath_prepend(str(FOLDER))
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(FOLDER / 'lseg2mmseg.py'), run_name='__main__')
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith('error: ') and 'none.ckpt does not exist' in said and said.count('\n') == 1


@pytest.mark.parametrize('source', ['nowhere.ckpt', '.', '', 'text.ckpt', 'empty.ckpt', 'half.ckpt', 'list.ckpt',
                                    'tensor.ckpt', 'other.ckpt', 'numbers.ckpt', LONG])
def test_lseg_checkpoints_converted_from(source, tmp_path, monkeypatch):
    convert = load_tool('lseg2mmseg.py', TOOLS / 'model_converters')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'text.ckpt').write_text('no checkpoint')
    (tmp_path / 'empty.ckpt').touch()
    torch.save([1, 2], tmp_path / 'list.ckpt')
    torch.save(torch.zeros(3), tmp_path / 'tensor.ckpt')
    torch.save(dict(state_dict={'net.fc.weight': torch.zeros(3, 3)}), tmp_path / 'other.ckpt')
    torch.save(dict(state_dict={1: 2, 'a': 'b'}), tmp_path / 'numbers.ckpt')
    (tmp_path / 'half.ckpt').write_bytes((tmp_path / 'other.ckpt').read_bytes()[:600])
    monkeypatch.setattr(sys, 'argv', ['lseg2mmseg.py', source, 'out.pth'])
    refused(convert.main)
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('target', ['taken.pth', '.', LONG, 'taken.pth/out.pth', ''])
def test_lseg_checkpoints_converted_to(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'taken.pth').write_text('mine')
    refused(lambda: save_checkpoint({}, target))
    assert (tmp_path / 'taken.pth').read_text() == 'mine' and len(list(tmp_path.iterdir())) == 1

"""Prompts go through a file unharmed, and into no model that they don't belong to."""
import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from fixtures.exports import build, maps, mvp_seg, noise, text_model
from fixtures.logs import record_logs
from fixtures.proxies import DINO
from fixtures.refusals import refused
from fixtures.text_models import FROZEN, SEEN
from safetensors import safe_open
from safetensors.torch import save_file

from mmseg_mvp.apis import OpenVocabInferencer, from_pretrained, load_prompts, save_prompts
from mmseg_mvp.errors import UserError

NAMES = ['cat', 'bus', 'a red car']


@pytest.fixture
def learned(tiny_rn):
    """MVP-SEG whose every learned value is another than at the start."""
    _, model = mvp_seg(tiny_rn)
    head = model.decode_head
    with torch.no_grad():
        for parameter in (head.classifier.prompts.contexts, head.log_scale, head.gpr.log_temperature):
            parameter.add_(torch.randn_like(parameter))
    head.classifier.learned_on = head.classifier.train_vocabulary = dict.fromkeys(SEEN, ('cat', ))
    return model


@pytest.fixture
def file(learned, tmp_path):
    save_prompts(learned, tmp_path / 'prompts.safetensors')
    return tmp_path / 'prompts.safetensors'


def content(file):
    with safe_open(file, 'pt') as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()


def test_another_model_segments_the_same(learned, file, tiny_rn):
    _, other = mvp_seg(tiny_rn)
    images = noise(2, 64, 90)
    for model in (learned, other):
        model.set_classes(NAMES)
    before = maps(other, images)[1]
    load_prompts(other, file)
    after = maps(other, images)[1]
    assert torch.equal(after, maps(learned, images)[1]) and not torch.equal(after, before)
    assert other.decode_head.classifier.learned_on == SEEN


@pytest.mark.parametrize('settings', [{}, dict(gpr=None), dict(fusion='logsumexp'), dict(
    fusion=dict(type='logsumexp', sharpness=9., learned=True)), dict(
    prompts=dict(type='LearnedPrompts', num_prompts=2, context_length=3, global_prompt=False), gpr=None)], ids=str)
def test_a_model_built_from_the_file(settings, tiny_clip, tmp_path, monkeypatch):
    _, model = mvp_seg(tiny_clip, **settings)
    save_prompts(model, tmp_path / 'p.safetensors')
    said = record_logs(monkeypatch, 'mmseg_mvp.models.text.record')
    built = from_pretrained(tmp_path / 'p.safetensors', NAMES, clip=tiny_clip)
    assert not said
    model.set_classes(NAMES)
    images = noise(1, 48, 70)
    assert type(built).__name__ == 'CLIPEncoderDecoder' and not built.training
    assert torch.allclose(maps(built, images)[1], maps(model, images)[1], atol=1e-6)


@pytest.mark.parametrize('dense', ['kk', dict(pairs=['kk', 'vv'], neighbourhood=2.),
                                   dict(type='proxy', model=DINO, pretrained=False, threshold=1.)], ids=str)
def test_the_dense_variant_goes_with_the_prompts(dense, tiny_clip, tmp_path):
    _, model = mvp_seg(tiny_clip, backbone=dict(type='CLIPImageEncoder', dense=dense))
    save_prompts(model, tmp_path / 'p.safetensors')
    built = from_pretrained(tmp_path / 'p.safetensors', NAMES, clip=tiny_clip)
    model.set_classes(NAMES)
    found, expected = (maps(one, noise(1, 48, 70))[1] for one in (built, model))
    assert torch.allclose(found, expected, atol=1e-6)
    _, plain = mvp_seg(tiny_clip)
    plain.set_classes(NAMES)
    assert not torch.allclose(found, maps(plain, noise(1, 48, 70))[1], atol=1e-4)


def test_the_weights_of_a_proxy_are_found_by_name_in_the_working_folder(tiny_vit, tmp_path, monkeypatch):
    (tmp_path / 'private').mkdir()
    (tmp_path / 'here').mkdir()
    proxy = timm.create_model(DINO, num_classes=0, dynamic_img_size=True)
    for folder in ('private', 'here'):
        torch.save(proxy.state_dict(), tmp_path / folder / 'dino.pth')
    dense = dict(type='proxy', model=DINO, weights=str(tmp_path / 'private' / 'dino.pth'))
    _, model = mvp_seg(tiny_vit, backbone=dict(type='CLIPImageEncoder', dense=dense))
    save_prompts(model, tmp_path / 'p.safetensors')
    assert 'private' not in content(tmp_path / 'p.safetensors')[1]['segmentor']
    assert 'private' not in model.decode_head.classifier.dense  # of checkpoints
    refused(lambda: from_pretrained(tmp_path / 'p.safetensors', NAMES, clip=tiny_vit), "'dino.pth'", 'put the file')
    monkeypatch.chdir(tmp_path / 'here')
    built = from_pretrained(tmp_path / 'p.safetensors', NAMES, clip=tiny_vit)
    model.set_classes(NAMES)
    assert torch.allclose(*(maps(one, noise(1, 48, 70))[1] for one in (built, model)), atol=1e-6)


def test_the_toy_needs_no_clip_named(tmp_path):
    prompts = dict(type='LearnedPrompts', context_length=4)
    _, model = mvp_seg(dict(model='toy-rn', weights='toy'), train_classes=['house', 'tree'], prompts=prompts)
    save_prompts(model, tmp_path / 'prompts.safetensors')
    built = from_pretrained(tmp_path, ['house', 'tree'])  # the folder that holds it
    assert torch.allclose(maps(built, noise(1, 64, 64))[1], maps(model, noise(1, 64, 64))[1], atol=1e-6)


def test_the_normalisation_of_a_clip_of_a_file_travels_with_the_prompts(tiny_vit, tmp_path):
    clip = {**tiny_vit, 'mean': (.5, .4, .3), 'std': (.2, .3, .4)}
    model = build(dict(type='CLIPEncoderDecoder', clip=clip, backbone=dict(type='CLIPImageEncoder'),
                       data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True),
                       decode_head=dict(type='MultiPromptTextHead', train_classes=NAMES,
                                        prompts=dict(type='LearnedPrompts', context_length=4))))[1]
    save_prompts(model, tmp_path / 'prompts.safetensors')
    again = from_pretrained(tmp_path / 'prompts.safetensors', NAMES, clip=tiny_vit)
    assert again.data_preprocessor.mean.flatten().tolist() == pytest.approx([127.5, 102., 76.5])
    assert torch.equal(maps(again, noise(2, 64, 90))[1], maps(model, noise(2, 64, 90))[1])


def test_a_student_has_contexts_only(tiny_rn, file, learned, tmp_path):
    prompts = dict(FROZEN, global_prompt=True)
    _, student = text_model(tiny_rn, prompts=prompts)
    load_prompts(student, file)
    assert torch.equal(student.decode_head.classifier.prompts.contexts, learned.decode_head.classifier.prompts.contexts)
    save_prompts(student, tmp_path / 'student.safetensors')
    tensors, metadata = content(tmp_path / 'student.safetensors')
    assert tensors.keys() == {'contexts'} and 'segmentor' not in metadata
    with pytest.raises(UserError, match='not written by MVP-SEG with CLIP\'s own image tower'):
        from_pretrained(tmp_path / 'student.safetensors', NAMES, clip=tiny_rn)


def test_what_the_file_says(file, learned):
    tensors, metadata = content(file)
    assert {name: tuple(value.shape) for name, value in tensors.items()} == {
        'contexts': (4, 4, 32), 'log_tau_1': (), 'log_tau_2': ()}
    clip = learned.decode_head.classifier.clip
    assert metadata['fingerprint'] == clip.fingerprint and metadata['weights'] == 'random'
    assert metadata['clip'] == os.path.basename(clip.name) != clip.name  # no path of this machine
    assert json.loads(metadata['prompts']) == dict(num_prompts=3, context_length=4, global_prompt=True)
    assert json.loads(metadata['train_classes']) == SEEN


class TestHub:

    def test_an_id_is_fetched(self, file, tiny_rn, monkeypatch):
        asked = []
        monkeypatch.setattr(huggingface_hub, 'hf_hub_download', lambda *args: asked.append(args) or str(file))
        load_prompts(mvp_seg(tiny_rn)[1], 'someone/voc-prompts.v2')
        assert asked == [('someone/voc-prompts.v2', 'prompts.safetensors')]

    def test_without_a_network(self, tiny_rn, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
        with pytest.raises(UserError, match='someone/nothing are not a local file') as error:
            load_prompts(mvp_seg(tiny_rn)[1], 'someone/nothing')
        assert '\n' not in str(error.value)

    @pytest.mark.parametrize('source', ['none.safetensors', 'a/b/c', 'word', 'a/none.safetensors'])
    def test_what_is_no_id(self, source, tiny_rn, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub, 'hf_hub_download', None)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match='There are no prompts at'):
            load_prompts(mvp_seg(tiny_rn)[1], source)


class TestRefused:

    @pytest.fixture
    def refuse(self, tiny_rn, tmp_path):
        """The sentence for a changed file; the model stays as it is."""

        def refuse(path, **settings):
            _, model = mvp_seg(tiny_rn, **settings)
            before = {name: value.clone() for name, value in model.state_dict().items()}
            with pytest.raises(UserError) as error:
                load_prompts(model, path)
            assert '\n' not in str(error.value)
            assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
            return str(error.value)

        return refuse

    @pytest.fixture
    def change(self, file, tmp_path):
        """Another file, with other entries."""

        def change(tensors=None, **metadata):
            own, said = content(file)
            said = {key: value for key, value in dict(said, **metadata).items() if value is not None}
            save_file(dict(own, **tensors or {}), tmp_path / 'changed.safetensors', said)
            return tmp_path / 'changed.safetensors'

        return change

    def test_another_clip(self, file, tiny_vit):
        _, model = mvp_seg(tiny_vit)
        with pytest.raises(UserError, match='learned on CLIP .*tiny_rn.json.* but the config builds .*tiny_vit'):
            load_prompts(model, file)

    def test_other_prompts(self, refuse, file):
        settings = dict(prompts=dict(type='LearnedPrompts', context_length=5))
        assert "'context_length': 4" in refuse(file, **settings)
        assert "'num_templates': 85" in refuse(file, gpr=None, prompts=dict(type='TemplatePrompts'))

    @pytest.mark.parametrize('share', [0., 0.5, 0.99])
    def test_truncated(self, share, refuse, file):
        file.write_bytes(file.read_bytes()[:int(share * file.stat().st_size)])
        assert 'cannot be read' in refuse(file)

    def test_other_safetensors(self, refuse, tmp_path):
        save_file(dict(weight=torch.ones(3)), tmp_path / 'other.safetensors')
        assert 'is not a file of learned prompts (its format is None' in refuse(tmp_path / 'other.safetensors')

    @pytest.mark.parametrize('value', [torch.ones(4, 4, 31), torch.full((4, 4, 32), float('nan'))])
    def test_damaged_values(self, value, refuse, change):
        assert 'is damaged: its contexts are missing, not finite' in refuse(change(dict(contexts=value)))

    @pytest.mark.parametrize('entry', [dict(prompts=None), dict(prompts='{'), dict(prompts='[1]'),
                                       dict(train_classes='"cat"')], ids=str)
    def test_damaged_metadata(self, entry, refuse, change):
        assert 'is not valid' in refuse(change(**entry))

    @pytest.mark.parametrize('segmentor', ['{}', '7', '{"mean": [1]}'])
    def test_damaged_description(self, segmentor, change, tiny_rn):
        with pytest.raises(UserError, match='is not valid'):
            from_pretrained(change(segmentor=segmentor), NAMES, clip=tiny_rn)

    def test_no_learned_prompts(self, tiny_rn, tmp_path):
        with pytest.raises(UserError, match='TemplatePrompts, which are not learned'):
            save_prompts(mvp_seg(tiny_rn, gpr=None, prompts=dict(type='TemplatePrompts'))[1], tmp_path / 'x')

    def test_a_file_that_is_there(self, learned, file):
        before = file.read_bytes()
        with pytest.raises(UserError, match='prompts.safetensors exists already: name a new file'):
            save_prompts(learned, file)
        assert file.read_bytes() == before


FRESH = """
import sys
from mmseg_mvp.apis import from_pretrained, load_prompts
model = from_pretrained(sys.argv[1], classes='red house, tree, boat', clip=dict(model=sys.argv[2]))
load_prompts(model, sys.argv[1])
print(type(model.data_preprocessor).__name__)
"""


@pytest.mark.slow
def test_the_lines_of_the_docs_in_a_fresh_process(file, tiny_rn):
    ran = subprocess.run([sys.executable, '-c', FRESH, file, tiny_rn['model']], capture_output=True, text=True)
    assert ran.stdout.endswith('SegDataPreProcessor\n'), ran.stderr


@pytest.mark.parametrize('settings', [
    dict(num_prompts=10 ** 6), dict(num_prompts=10 ** 4000), dict(context_length=10 ** 6), dict(num_prompts='3'),
    dict(num_prompts=None), dict(global_prompt=False), dict(num_prompts=-1), dict(context_length=[3])])
def test_settings_of_other_contexts_take_no_memory(file, tiny_rn, settings):
    tensors, metadata = content(file)
    metadata['prompts'] = json.dumps(dict(json.loads(metadata['prompts']), **settings))
    save_file(tensors, file, metadata)
    refused(lambda: from_pretrained(file, NAMES, clip=tiny_rn), 'prompts.safetensors', 'fetch')


ROOT = Path(__file__).parents[3]


MASKCLIP = str(ROOT / 'configs/maskclip/toy_zs.py')


LONG = 'x' * 5000


@pytest.fixture(scope='module')
def seg():
    return OpenVocabInferencer(MASKCLIP, device='cpu')


@pytest.mark.parametrize('source', ['nowhere', 'nowhere.safetensors', '', '\0', LONG, '..', None, 3])
def test_prompts_of_a_source_that_is_none(seg, source):
    refused(lambda: from_pretrained(source, 'tree, boat'))
    refused(lambda: load_prompts(seg.model, source))

"""Activation and normalisation from open_clip's tables, the file, and the config files beside it."""
import json

import numpy as np
import open_clip
import pytest
import torch
from fixtures.clip_builders import open_clip_model
from fixtures.logs import record_logs
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transformer import QuickGELU
from torch import nn

from mmseg_mvp.clip import load_clip
from mmseg_mvp.clip.building import build_from_config, find_config
from mmseg_mvp.errors import UserError

TAGS = [(model, tag) for model, tag in open_clip.list_pretrained()
        if 'hf_model_name' not in open_clip.get_model_config(model)['text_cfg']]
OPENAI = dict(input_resolution=64, context_length=77, vocab_size=49408)


def activations(model):
    return {type(part) for part in model.modules() if isinstance(part, (QuickGELU, nn.GELU))}


@pytest.fixture
def tags_of_tiny_models(monkeypatch, tmp_path, tiny_rn, tiny_vit):
    """Every tag loads a tiny model of the activation of its name, so that 149 tags are quick to load."""

    def small(model):
        path = (tiny_rn if model.startswith('RN') else tiny_vit)['model']
        with open(path) as file:
            quick = open_clip.get_model_config(model).get('quick_gelu', False)
            return dict(json.load(file), quick_gelu=quick)

    def download(config):
        path = tmp_path / f'{small.model}.pt'
        torch.save(build_from_config(small(small.model)).state_dict(), path)
        return str(path)

    def find(model):
        small.model = model
        return small(model)

    monkeypatch.setattr('mmseg_mvp.clip.loading.find_config', find)
    monkeypatch.setattr('mmseg_mvp.clip.download.file_at_hand', lambda *args: None)
    for name in ('unreachable', 'unreachable_hub'):
        monkeypatch.setattr(f'mmseg_mvp.clip.download.{name}', lambda address: None)
    monkeypatch.setattr(open_clip, 'download_pretrained', download)


def kind(model, tag):
    published = get_pretrained_cfg(model, tag)
    return published['mean'], published['std'], published.get('quick_gelu', False), model.endswith('-quickgelu')


@pytest.mark.parametrize('tags', [[*{kind(*one): one for one in TAGS}.values()],
                                  pytest.param(TAGS, marks=pytest.mark.slow)], ids=['one of each kind', 'all'])
def test_every_tag_has_its_published_normalisation_and_activation(tags_of_tiny_models, tags):
    assert len(TAGS) > 100 and len(tags) > 4
    for model, tag in tags:
        published = get_pretrained_cfg(model, tag)
        loaded = load_clip(model, tag)
        assert (loaded.mean, loaded.std) == (tuple(published['mean']), tuple(published['std'])), (model, tag)
        pixels = loaded.normalisation()
        assert np.allclose(pixels['mean'], 255 * np.array(published['mean']), rtol=0, atol=1e-4)
        assert np.allclose(pixels['std'], 255 * np.array(published['std']), rtol=0, atol=1e-4)
        assert activations(loaded.model) == {QuickGELU if published.get('quick_gelu') else nn.GELU}, (model, tag)


@pytest.mark.parametrize('model, tag', [('ViT-B-32', 'openai'), ('RN50', 'cc12m'), ('ViT-B-16', 'dfn2b'),
                                        ('ViT-B-32', 'laion400m_e32'), ('ViT-B-16', 'metaclip-400m')])
def test_a_tag_that_disagrees_with_the_name_switches_the_activation(tags_of_tiny_models, monkeypatch, model, tag):
    said = record_logs(monkeypatch, 'mmseg_mvp.clip.loading')
    load_clip(model, tag)
    assert said[0] == (f"CLIP '{model}' is built with QuickGELU instead of GELU, according to open_clip's table for "
                       f"'{model}:{tag}'; set clip.model to a name that agrees.")


def test_a_tag_that_agrees_says_nothing(tags_of_tiny_models, monkeypatch):
    said = record_logs(monkeypatch, 'mmseg_mvp.clip.loading')
    load_clip('ViT-B-32-quickgelu', 'openai')
    load_clip('ViT-B-32', 'laion2b_s34b_b79k')
    assert [text for text in said if 'is built with' in text] == []


class TestFiles:

    @pytest.fixture
    def gelu(self, tmp_path, tiny_vit):
        """A model config with GELU, and its weights."""
        with open(tiny_vit['model']) as file:
            config = dict(json.load(file), quick_gelu=False)
        (tmp_path / 'gelu.json').write_text(json.dumps(config))
        return str(tmp_path / 'gelu.json'), open_clip_model(dict(model=str(tmp_path / 'gelu.json'))).state_dict()

    @pytest.mark.parametrize('wrap', [
        lambda state: {**state, **OPENAI}, lambda state: dict(model={**state, **OPENAI}),
        lambda state: {**state, **{name: torch.tensor(one) for name, one in OPENAI.items()}},
        lambda state: {f'module.{key}': one for key, one in {**state, **OPENAI}.items()}])
    def test_openais_entries_mean_quick_gelu(self, tmp_path, gelu, wrap, monkeypatch):
        torch.save(wrap(gelu[1]), tmp_path / 'openai.pt')
        said = record_logs(monkeypatch, 'mmseg_mvp.clip.loading')
        assert activations(load_clip(gelu[0], str(tmp_path / 'openai.pt')).model) == {QuickGELU}
        assert 'is built with QuickGELU instead of GELU' in said[0] and 'input_resolution' in said[0]

    def test_a_plain_state_dict_keeps_the_activation_of_the_name(self, tmp_path, gelu):
        torch.save(gelu[1], tmp_path / 'plain.pt')
        assert activations(load_clip(gelu[0], str(tmp_path / 'plain.pt')).model) == {nn.GELU}

    @pytest.mark.parametrize('write', ['script', 'trace'])
    @pytest.mark.parametrize('quick', [True, False])
    def test_class_names_in_an_archive(self, tmp_path, gelu, tiny_vit, quick, write):
        model = open_clip_model(tiny_vit if quick else dict(model=gelu[0]))
        inputs = dict(encode_image=torch.rand(1, 3, 64, 64), encode_text=open_clip.SimpleTokenizer()(['a cat.']))
        archive = torch.jit.script(model) if write == 'script' else \
            torch.jit.trace_module(model, inputs, check_trace=False)
        torch.jit.save(archive, tmp_path / 'scripted.pt')
        for name in (gelu[0], tiny_vit['model']):
            loaded = load_clip(name, str(tmp_path / 'scripted.pt'))
            assert activations(loaded.model) == {QuickGELU if quick else nn.GELU}

    def test_published_file_name(self, tmp_path, gelu):
        path = tmp_path / 'vit_b_32-quickgelu-laion400m_e32-46683a32.pt'
        torch.save(gelu[1], path)
        assert activations(load_clip(gelu[0], str(path)).model) == {QuickGELU}

    @pytest.mark.parametrize('acts, expected', [(('quick_gelu', 'quick_gelu'), QuickGELU), (('gelu', 'gelu'), nn.GELU),
                                                ((None, None), QuickGELU)])
    def test_config_of_hugging_face(self, tmp_path, gelu, acts, expected):
        towers = {f'{tower}_config': dict(hidden_act=act) if act else {}
                  for tower, act in zip(('text', 'vision'), acts)}
        (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='clip', **towers)))
        (tmp_path / 'preprocessor_config.json').write_text(json.dumps(dict(image_mean=[.1, .2, .3],
                                                                           image_std=[.4, .5, .6])))
        torch.save(gelu[1], tmp_path / 'pytorch_model.bin')
        loaded = load_clip(gelu[0], str(tmp_path / 'pytorch_model.bin'))
        assert activations(loaded.model) == {expected}
        assert (loaded.mean, loaded.std) == ((.1, .2, .3), (.4, .5, .6))

    @pytest.mark.parametrize('acts, found', [(('gelu', 'quick_gelu'), 'gelu and quick_gelu'),
                                             (('gelu_new', 'gelu_new'), 'gelu_new')])
    def test_activations_that_open_clip_lacks(self, tmp_path, gelu, acts, found):
        towers = {f'{tower}_config': dict(hidden_act=act) for tower, act in zip(('text', 'vision'), acts)}
        (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='clip', **towers)))
        torch.save(gelu[1], tmp_path / 'model.bin')
        with pytest.raises(UserError, match=f'config.json beside the weights is {found}: expected quick_gelu or gelu'):
            load_clip(gelu[0], str(tmp_path / 'model.bin'))

    @pytest.mark.parametrize('settings, mean, std', [
        (dict(do_normalize=False, image_mean=[.1, .2, .3], image_std=[.4, .5, .6]), (0, 0, 0), (1, 1, 1)),
        (dict(image_mean=.5, image_std=.25), (.5, ) * 3, (.25, ) * 3)])
    def test_processor_of_hugging_face(self, tmp_path, gelu, settings, mean, std):
        (tmp_path / 'preprocessor_config.json').write_text(json.dumps(settings))
        torch.save(gelu[1], tmp_path / 'model.bin')
        loaded = load_clip(gelu[0], str(tmp_path / 'model.bin'))
        assert (loaded.mean, loaded.std) == (mean, std)

    def test_an_activation_in_quotes_is_no_answer(self, tmp_path, gelu, monkeypatch):
        (tmp_path / 'open_clip_config.json').write_text('{"model_cfg": {"quick_gelu": "false"}}')
        torch.save(gelu[1], tmp_path / 'model.bin')
        said = record_logs(monkeypatch, 'mmseg_mvp.clip.published')
        assert activations(load_clip(gelu[0], str(tmp_path / 'model.bin')).model) == {nn.GELU}
        assert len(said) == 1 and 'open_clip_config.json beside the weights is damaged' in said[0]

    def test_config_of_open_clip(self, tmp_path, gelu):
        (tmp_path / 'open_clip_config.json').write_text(json.dumps(dict(
            model_cfg=dict(quick_gelu=True), preprocess_cfg=dict(mean=[.5, .5, .5], std=[.25, .25, .25]))))
        torch.save(gelu[1], tmp_path / 'open_clip_pytorch_model.bin')
        loaded = load_clip(gelu[0], str(tmp_path / 'open_clip_pytorch_model.bin'))
        assert activations(loaded.model) == {QuickGELU} and loaded.mean == (.5, .5, .5) and loaded.std == (.25, ) * 3

    def test_a_config_beside_a_file_of_another_name_has_no_effect(self, tmp_path, gelu):
        (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='clip', text_config={}, vision_config={})))
        torch.save(gelu[1], tmp_path / 'mine.pt')
        assert activations(load_clip(gelu[0], str(tmp_path / 'mine.pt')).model) == {nn.GELU}

    @pytest.mark.parametrize('text', ['{', '[]', '{"model_type": "clip", "text_config": 3}'])
    def test_a_damaged_config_is_told(self, tmp_path, gelu, text, monkeypatch):
        (tmp_path / 'config.json').write_text(text)
        torch.save(gelu[1], tmp_path / 'model.bin')
        said = record_logs(monkeypatch, 'mmseg_mvp.clip.published')
        assert activations(load_clip(gelu[0], str(tmp_path / 'model.bin')).model) == {nn.GELU}
        assert len(said) == 1 and 'config.json beside the weights is damaged' in said[0]

    def test_normalisation_of_a_model_config(self, tmp_path, gelu):
        config = json.loads((tmp_path / 'gelu.json').read_text())
        (tmp_path / 'own.json').write_text(json.dumps(dict(config, preprocess_cfg=dict(mean=[.1] * 3, std=[.2] * 3))))
        (tmp_path / 'hub.json').write_text(json.dumps(dict(
            model_cfg=config, preprocess_cfg=dict(mean=[.3] * 3, std=[.4] * 3, size=224))))
        assert load_clip(str(tmp_path / 'own.json')).mean == (.1, .1, .1)
        assert load_clip(str(tmp_path / 'hub.json')).std == (.4, .4, .4)

    def test_the_setting_has_priority(self, tmp_path, gelu):
        assert load_clip(gelu[0], mean=(.1, .2, .3), std=(1., 1., 1.)).normalisation() == dict(
            mean=[25.5, 51., 76.5], std=[255.] * 3)

    def test_a_damaged_normalisation_is_refused(self, tmp_path, gelu):
        config = json.loads((tmp_path / 'gelu.json').read_text())
        (tmp_path / 'own.json').write_text(json.dumps(dict(config, preprocess_cfg=dict(mean=[122, 116, 104]))))
        with pytest.raises(UserError, match=r'mean of The model config is \(122, 116, 104\).*divided by 255'):
            load_clip(str(tmp_path / 'own.json'))


def test_openai_is_the_default(tiny_vit):
    loaded = load_clip(**tiny_vit)
    assert (loaded.mean, loaded.std) == (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    assert loaded.normalisation() == dict(mean=[122.7709, 116.7460, 104.0937], std=[68.5005, 66.6322, 70.3232])
    assert find_config('ViT-B-32')['embed_dim'] == 512

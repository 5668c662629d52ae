"""CLIPs with tokenizers of their own, compared with open_clip's ``encode_text`` of transformers' ids."""
import copy
import json
import re
from pathlib import Path

import open_clip
import pytest
import torch
from fixtures.lanes import META, WORLDWIDE
from fixtures.own_tokens import CLIPS, KINDS, TEXTS, own_names, reference_ids, write_clip
from fixtures.refusals import refused
from open_clip.constants import OPENAI_DATASET_MEAN

from mmseg_mvp.clip import TextTower, encode_prompts, encode_sentences, load_clip, loading
from mmseg_mvp.clip.building import build_from_config, find_config
from mmseg_mvp.clip.dense_tower import dense_tower

NAMES = ['cat', 'traffic light', 'television receivers', 'dogs']
PHRASES = ['a photo of the', 'this is one big']
HALF = (.5, .5, .5)


@pytest.fixture(scope='module')
def clips(tmp_path_factory):
    """The ``clip`` config of each kind."""
    root = tmp_path_factory.mktemp('clips')
    return {kind: write_clip(root / kind, kind) for kind in KINDS}


@pytest.fixture(params=CLIPS)
def kind(request):
    return request.param


def theirs(clip, kind, sentences):
    """Embeddings of sentences by open_clip alone."""
    ids = reference_ids(Path(clip.name).with_name('tokenizer'), sentences, TEXTS[kind])
    return clip.model.encode_text(torch.tensor(ids))


class TestText:

    def test_sentences_have_open_clips_embeddings(self, clips, kind):
        clip = load_clip(**clips[kind])
        tower = TextTower(clip)
        assert tower.shared is (kind in ('mt5', 'xlm-v'))
        sentences = [f'{phrase} {name}' for phrase in PHRASES for name in NAMES] + ['dog']
        expected = theirs(clip, kind, sentences)
        ours = encode_sentences(tower, [tower.tokenize(one) for one in sentences])
        assert torch.allclose(ours, expected, rtol=0, atol=1e-5 if tower.shared else 0)
        alone = encode_sentences(tower, [tower.tokenize(sentences[0])])  # a single sentence is a context without a name
        assert torch.allclose(alone, expected[:1], rtol=0, atol=1e-5)

    def test_contexts_made_of_words_stand_before_the_name(self, clips, kind):
        clip = load_clip(**clips[kind])
        tower = TextTower(clip)
        for phrase in PHRASES:
            context = tower.embed(torch.tensor([tower.tokenize(phrase)]))
            ours = encode_prompts(tower, context, [tower.tokenize(name, taken=context.shape[1]) for name in NAMES])[0]
            expected = theirs(clip, kind, [f'{phrase} {name}' for name in NAMES])
            assert torch.allclose(ours, expected, rtol=0, atol=1e-5 if tower.shared else 0)

    def test_gradients_reach_all_contexts(self, clips, kind):
        tower = TextTower(load_clip(**clips[kind]))
        contexts = torch.randn(2, 3, tower.width, requires_grad=True)
        embeddings = encode_prompts(tower, contexts, [tower.tokenize(name, taken=3) for name in NAMES])
        assert embeddings.shape == (2, 4, 64)
        assert torch.autograd.grad(embeddings.square().sum(), contexts)[0].abs().amin(dim=2).gt(0).all()

    def test_the_room_for_a_name(self, tmp_path):
        short = write_clip(tmp_path / 'short', 'siglip', text=dict(context_length=16))
        tower = TextTower(load_clip(**short))
        assert tower.tokenize('the ' * 15) and len(tower.tokenize('the ' * 12, taken=3)) == 12
        refused(lambda: tower.tokenize('the ' * 16), 'has 16 tokens', 'has room for 15')
        refused(lambda: tower.tokenize('cat', taken=16), 'has room for 0', 'fewer context vectors')
        refused(lambda: tower.tokenize('...'), 'empty')

    @WORLDWIDE
    def test_the_room_beside_a_start_token(self, clips):
        tower = TextTower(load_clip(**clips['xlm-v']))
        refused(lambda: tower.tokenize('the ' * 73, taken=3), 'has room for 72')

    @pytest.mark.parametrize('name', ['a ☃', '猫'])
    def test_characters_outside_the_vocabulary(self, clips, name):
        tower = TextTower(load_clip(**clips['siglip']))
        refused(lambda: tower.tokenize(name), f"'{name}'", "special token '<unk>'", 'use other words')
        assert TextTower(load_clip(**clips['siglip2'])).tokenize(name)  # as bytes

    @WORLDWIDE
    def test_the_end_of_a_sentence_is_no_name(self, clips):
        tower = TextTower(load_clip(**clips['xlm-v']))
        refused(lambda: tower.tokenize('cat </s> dog'), "special token '</s>'")

    def test_a_vocabulary_that_is_larger_than_the_table(self, tmp_path):
        small = write_clip(tmp_path / 'small', 'siglip')
        path = Path(small['model'])
        config = json.loads(path.read_text())
        path.write_text(json.dumps(dict(config, text_cfg=dict(config['text_cfg'], vocab_size=5))))
        refused(lambda: TextTower(load_clip(**small)), "can't encode a sentence", 'expected embeddings of')

    def test_words_are_pieces_with_a_vector(self, clips, kind):
        clip = load_clip(**clips[kind])
        words = TextTower(clip).words()
        pieces = clip.tokenizer.tokenizer.convert_ids_to_tokens(list(words))
        assert [f'▁{word}' if word[:1] != '-' or piece[:1] == '▁' else word[1:]
                for word, piece in zip(words.values(), pieces)] == pieces
        assert 'the' in words.values() and not words.keys() & set(clip.tokenizer.all_special_ids)


class TestNames:

    def test_every_model_of_open_clip_with_its_own_text_tower_is_found(self):
        names = own_names()
        assert {'ViT-B-16-SigLIP', 'ViT-SO400M-14-SigLIP2', 'ViT-gopt-16-SigLIP2-384'} <= set(names)
        assert set(names) >= {name for name in open_clip.list_models()
                              if re.match(r'ViT-.*(SigLIP|worldwide)', name)}
        for name in names:
            assert find_config(name) == open_clip.get_model_config(name)

    @pytest.mark.parametrize('name', ['nllb-clip-base-siglip', 'xlm-roberta-base-ViT-B-32'])
    def test_hugging_face_text_towers_are_refused(self, name):
        refused(lambda: load_clip(name), name, 'Hugging Face model', 'table of word vectors')

    @META
    @pytest.mark.parametrize('name', [
        'ViT-B-16-SigLIP', *(pytest.param(name, marks=pytest.mark.slow) for name in own_names()
                             if name != 'ViT-B-16-SigLIP' and 'CLIPA' not in name)])
    def test_its_architecture_is_understood(self, name):
        with torch.device('meta'):
            model = build_from_config(find_config(name))
            tower = dense_tower(model.visual, 'value', name)
        text = getattr(model, 'text', model)
        causal = 'worldwide' in name
        assert (text.attn_mask is not None) is causal and text.token_embedding.weight.shape[0] in (
            32000, 250000, 250100, 256000, 901629)
        assert type(tower).__name__ == ('ViTTower' if causal else 'TimmPoolTower')

    def test_the_average_pool_of_clipa_stays_refused(self):
        with torch.device('meta'):
            visual = build_from_config(find_config('ViT-L-14-CLIPA')).visual
        refused(lambda: dense_tower(visual, name='ViT-L-14-CLIPA'), 'ViT-L-14-CLIPA', "can't give dense features")


class TestFiles:

    @pytest.fixture
    def publish(self, monkeypatch):
        """Give a published name to the small model of a config file."""
        def publish(name, clip):
            config = json.loads(Path(clip['model']).read_text())
            monkeypatch.setattr(open_clip, 'get_model_config', lambda model: copy.deepcopy(config))
            loading._load.cache_clear()
            return dict(model=name)

        yield publish
        loading._load.cache_clear()

    def test_a_weights_file_without_a_tag_has_the_normalisation_of_all_tags(self, clips, publish, tmp_path):
        siglip = dict(publish('ViT-B-16-SigLIP', clips['siglip']),
                      tokenizer=str(Path(clips['siglip']['model']).with_name('tokenizer')))
        built = load_clip(**siglip)
        torch.save(built.model.state_dict(), tmp_path / 'mine.pt')
        loaded = load_clip(**siglip, weights=str(tmp_path / 'mine.pt'))
        assert loaded.mean == loaded.std == built.mean == HALF
        assert loaded.weights_hash == built.weights_hash and loaded.fingerprint == built.fingerprint
        assert load_clip(**siglip, mean=(.1, .2, .3)).mean == (.1, .2, .3)

    def test_a_model_with_clips_tokens_keeps_openais_normalisation(self, publish, tiny_vit):
        before = load_clip(**tiny_vit)
        loaded = load_clip(**publish('PE-Core-B-16', tiny_vit))  # all of its tags have 0.5
        assert loaded.mean == OPENAI_DATASET_MEAN and loaded.fingerprint == before.fingerprint

    def test_another_tokenizer_is_another_clip(self, clips, tmp_path):
        other = write_clip(tmp_path / 'other', 'siglip', pad_token='<pad>')
        loaded, own = load_clip(**other), load_clip(**clips['siglip'])
        assert loaded.weights_hash == own.weights_hash and loaded.fingerprint != own.fingerprint
        folder = str(Path(clips['siglip']['model']).with_name('tokenizer'))
        assert load_clip(**other, tokenizer=folder).fingerprint == own.fingerprint

    @pytest.mark.parametrize('text, words', [(dict(hf_tokenizer_name=3), 'text_cfg.hf_tokenizer_name is 3, not a str'),
                                             (dict(tokenizer_kwargs=[1]), 'text_cfg.tokenizer_kwargs is ')], ids=str)
    def test_entries_of_wrong_types(self, clips, tmp_path, text, words):
        config = json.loads(Path(clips['siglip']['model']).read_text())
        (tmp_path / 'a.json').write_text(json.dumps(dict(config, text_cfg=dict(config['text_cfg'], **text))))
        refused(lambda: load_clip(str(tmp_path / 'a.json')), "a.json' can't be used", words)

    def test_the_entry_of_a_config_is_text(self, clips):
        refused(lambda: load_clip(**clips['siglip'], tokenizer=3), 'clip.tokenizer is 3', 'expected text')

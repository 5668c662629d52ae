"""Tokenizers of CLIP models against open_clip's own and transformers'; where their files come from."""
import copy
import json
import shutil
import socket
import sys
import threading
import time

import huggingface_hub
import open_clip
import pytest
import transformers
from fixtures.lanes import HUB_TOKENIZER
from fixtures.own_tokens import KINDS, TEXTS, reference_ids, write_tokenizer
from fixtures.refusals import refused
from open_clip.tokenizer import HFTokenizer

from mmseg_mvp.clip.tokenizers import BytePairTokenizer, build_tokenizer, find_folder
from mmseg_mvp.utils import reach

SENTENCES = ['a photo of the cat', 'dog', 'Two  small Televisions,', 'a_tree in the scene.']
FRAMES = {'siglip': ((), ('</s>', ), '</s>'), 'siglip2': ((), ('</s>', ), '<pad>'), 'mt5': ((), ('</s>', ), '<pad>'),
          'xlm-v': (('<s>', ), ('</s>', ), '<pad>')}
REPOSITORY = 'timm/ViT-B-16-SigLIP'


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """Folder of the tokenizer of each kind."""
    root = tmp_path_factory.mktemp('tokenizers')
    return {kind: write_tokenizer(root / kind, kind) for kind in KINDS}


@pytest.fixture
def build(folders):
    """Build the tokenizer of a kind, with changed entries of ``text_cfg``."""
    return lambda kind, **text: build_tokenizer('mine', dict(TEXTS[kind], hf_tokenizer_name=str(folders[kind]), **text))


def framed(tokenizer, sentences):
    return [tokenizer.frame(tokenizer.encode(one)) for one in sentences]


class TestHubTokenizers:

    @pytest.mark.parametrize('kind', KINDS)
    def test_ids_and_frame_are_those_of_transformers(self, build, folders, kind):
        tokenizer = build(kind)
        assert framed(tokenizer, SENTENCES) == reference_ids(folders[kind], SENTENCES, TEXTS[kind])
        start, end, pad = FRAMES[kind]
        spelled = [tokenizer.tokenizer.convert_ids_to_tokens(list(part)) for part in
                   (tokenizer.start, tokenizer.end, [tokenizer.pad])]
        assert spelled == [list(start), list(end), [pad]]

    @HUB_TOKENIZER
    @pytest.mark.parametrize('kind', KINDS)
    def test_open_clips_own_tokenizer_gives_the_same_ids(self, build, folders, kind):
        text = TEXTS[kind]
        own = HFTokenizer(str(folders[kind]), text['context_length'], **text.get('tokenizer_kwargs', {}))
        assert framed(build(kind), SENTENCES) == own(SENTENCES).tolist()

    @pytest.mark.parametrize('kind', KINDS)
    def test_a_text_inside_a_sentence_has_the_pieces_of_its_place(self, build, kind):
        tokenizer = build(kind)
        whole, first = (tokenizer.encode(text) for text in ('a photo of the cat', 'a photo of'))
        assert whole == first + tokenizer.encode('the cat', inside=True)
        assert (tokenizer.encode('cat') != tokenizer.encode('cat', inside=True)) == (kind == 'siglip2')
        assert tokenizer.encode('', inside=True) == tokenizer.encode(' ') == []

    @pytest.mark.parametrize('kind', KINDS)
    def test_spelling_marks_the_continuation_of_a_word(self, build, kind):
        tokenizer = build(kind)
        spelled = tokenizer.spell(tokenizer.encode('the photographer', inside=True))
        assert ''.join(f' {word}' if word[:1] != '-' else word[1:] for word in spelled).split() == [
            'the', 'photographer']

    def test_a_separator_becomes_zero_as_in_open_clip(self, build):
        plain, stripped = build('xlm-v'), build('xlm-v', tokenizer_kwargs=dict(strip_sep_token=True))
        assert plain.end == (plain.tokenizer.sep_token_id, ) and stripped.end == (0, )
        assert build('mt5', tokenizer_kwargs=dict(strip_sep_token=True)).end == build('mt5').end  # it has no separator

    def test_identity(self, build, folders, tmp_path):
        ids = [build(kind).identity for kind in KINDS] + [build('xlm-v', tokenizer_kwargs=dict(clean='lower')).identity]
        assert len(set(ids)) == len(ids) and all(ids)
        moved = shutil.copytree(folders['mt5'], tmp_path / 'moved')
        assert build_tokenizer('x', dict(TEXTS['mt5'], hf_tokenizer_name='none'), str(moved)).identity == ids[2]

    def test_a_copy_of_a_model_shares_it(self, build):
        tokenizer = build('mt5')
        assert copy.deepcopy([tokenizer])[0] is tokenizer


class TestBytePairs:

    @pytest.mark.parametrize('settings', [{}, dict(clean='canonicalize')], ids=str)
    def test_ids_are_those_of_open_clip(self, settings):
        tokenizer = build_tokenizer('x', dict(context_length=32, tokenizer_kwargs=settings))
        own = open_clip.SimpleTokenizer(context_length=32, **settings)
        assert framed(tokenizer, SENTENCES) == own(SENTENCES).tolist()
        assert tokenizer.encode('a', inside=True) == own.encode('a')
        assert (tokenizer.identity == '') is (settings == {})

    def test_spelling_marks_incomplete_words(self):
        tokenizer = BytePairTokenizer()
        assert tokenizer.spell([tokenizer.encoder['cat</w>'], tokenizer.encoder['cat']]) == ['cat', 'cat-']

    @pytest.mark.parametrize('settings', [dict(clean='none'), dict(speed=3)], ids=str)
    def test_wrong_settings(self, settings):
        refused(lambda: build_tokenizer('x', dict(tokenizer_kwargs=settings)), "CLIP 'x'", "can't be used",
                str(settings)[1:-1])

    def test_a_folder_for_byte_pairs(self):
        refused(lambda: build_tokenizer('x', {}, 'folder'), "clip.tokenizer is 'folder'", 'omit it')


class TestFiles:

    @pytest.fixture
    def cache(self, tmp_path, monkeypatch):
        """An empty cache of a machine that is offline."""
        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'cache'))
        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
        return tmp_path / 'cache'

    def test_offline_without_a_copy(self, cache):
        before = time.time()
        refused(lambda: build_tokenizer('ViT-B-16-SigLIP', open_clip.get_model_config('ViT-B-16-SigLIP')['text_cfg']),
                "CLIP 'ViT-B-16-SigLIP'", f"repository '{REPOSITORY}'", 'clip.tokenizer', 'check the network')
        assert time.time() - before < 5

    @pytest.mark.parametrize('name', ['no such folder/x/y', 'ünï', ''])
    def test_no_name_of_a_repository(self, cache, name):
        refused(lambda: find_folder('x', name), f"'{name}'", 'clip.tokenizer')

    def test_offline_with_a_copy_in_the_cache(self, cache, folders):
        repository = cache / f'models--{REPOSITORY.replace("/", "--")}'
        shutil.copytree(folders['siglip'], repository / 'snapshots' / ('0' * 40))
        (repository / 'refs').mkdir()
        (repository / 'refs' / 'main').write_text('0' * 40)
        found = build_tokenizer('ViT-B-16-SigLIP', dict(TEXTS['siglip'], hf_tokenizer_name=REPOSITORY))
        assert framed(found, SENTENCES) == reference_ids(folders['siglip'], SENTENCES, TEXTS['siglip'])

    @pytest.mark.slow
    def test_a_hub_that_does_not_answer(self, tmp_path, monkeypatch):
        monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
        with socket.create_server(('127.0.0.1', 0)) as server:  # it accepts and says nothing
            monkeypatch.setattr(huggingface_hub.constants, 'ENDPOINT', f'http://127.0.0.1:{server.getsockname()[1]}')
            monkeypatch.setattr(reach, 'LIMIT', 1)
            waiting = threading.Timer(60, server.close)
            waiting.start()
            before = time.time()
            refused(lambda: find_folder('x', REPOSITORY), REPOSITORY, 'could not be downloaded')
            waiting.cancel()
        assert time.time() - before < 20

    @pytest.mark.parametrize('package', ['transformers', 'sentencepiece'])
    def test_without_the_extra(self, build, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        refused(lambda: build('siglip'), package, 'needs transformers and sentencepiece',
                'pip install -e ".[tokenizers]"')

    def test_a_version_that_reads_other_tokens(self, build, monkeypatch):
        monkeypatch.setattr(transformers, '__version__', '5.0.0')
        refused(lambda: build('siglip'), 'found transformers 5.0.0', 'pip install -e ".[tokenizers]"')

    @pytest.mark.parametrize('kind', KINDS)
    def test_the_name_of_a_folder_says_nothing(self, folders, tmp_path, kind):
        named = shutil.copytree(folders[kind], tmp_path / 'bert' / 'mistral')
        found = build_tokenizer('x', dict(TEXTS[kind], hf_tokenizer_name=str(named)))
        assert framed(found, SENTENCES) == reference_ids(folders[kind], SENTENCES, TEXTS[kind])


class TestDamage:

    @pytest.mark.parametrize('file, text', [
        ('tokenizer_config.json', '{"tokenizer_class"'), ('tokenizer_config.json', '[]'), ('spiece.model', 'junk'),
        ('spiece.model', ''), ('tokenizer.json', '{"version"'), ('tokenizer.json', ''), ('tokenizer.json', '[]')])
    def test_of_a_file(self, folders, tmp_path, file, text):
        folder = shutil.copytree(folders['siglip'], tmp_path / 'damaged')
        (folder / file).write_text(text)
        refused(lambda: build_tokenizer('x', dict(hf_tokenizer_name=str(folder))), str(folder), "can't be used",
                'tokenizer_config.json')

    def test_an_empty_folder(self, tmp_path):
        refused(lambda: build_tokenizer('x', dict(hf_tokenizer_name=str(tmp_path))), str(tmp_path), "can't be used")

    @pytest.mark.parametrize('text, settings', [({}, dict(padding_side='left')), (dict(context_length=1), {}),
                                                (dict(tokenizer_mode='clips'), {}), (dict(context_length='x'), {}),
                                                ({}, dict(pad_token=None))], ids=str)
    def test_another_frame(self, tmp_path, text, settings):
        folder = write_tokenizer(tmp_path / 'other', 'mt5', **settings)
        refused(lambda: build_tokenizer('x', dict(TEXTS['mt5'], hf_tokenizer_name=str(folder), **text)), "CLIP 'x'",
                "can't be used")

    def test_code_in_the_folder_is_not_run(self, folders, tmp_path):
        folder = shutil.copytree(folders['siglip'], tmp_path / 'evil')
        (folder / 'evil.py').write_text(f'open({str(tmp_path / "proof")!r}, "w")\n')
        (folder / 'tokenizer_config.json').write_text(json.dumps(
            dict(tokenizer_class='Evil', auto_map=dict(AutoTokenizer=['evil.Evil', None]))))
        refused(lambda: build_tokenizer('x', dict(hf_tokenizer_name=str(folder), tokenizer_kwargs=dict(
            trust_remote_code=True))), "CLIP 'x'", "can't be used")
        assert not (tmp_path / 'proof').exists()

"""Loading of CLIP models: each file format, and wrong names and files."""
import io
import json
from pathlib import Path

import open_clip
import pytest
import torch
from fixtures.clip_builders import open_clip_model
from fixtures.logs import record_logs
from fixtures.payloads import write_torchscript
from safetensors.torch import save_file

from mmseg_mvp.checkpoints import trusted_checkpoints
from mmseg_mvp.clip import download, load_clip, loading
from mmseg_mvp.clip.identity import weights_hash
from mmseg_mvp.errors import UserError


def changed_config(clip, folder, part, settings):
    """Write the JSON config of a clip with changed entries, at the top or in a part of it."""
    config = json.loads(Path(clip['model']).read_text())
    (config if part is None else config[part]).update(settings)
    (folder / 'changed.json').write_text(json.dumps(config), 'utf-8-sig')
    return str(folder / 'changed.json')


def forbid(monkeypatch, path):
    """Let every opening of a file fail as without permission, for root as well."""
    def opened(file, *args, **kwargs):
        if str(file) == str(path):
            raise PermissionError(13, 'Permission denied', str(file))
        return real(file, *args, **kwargs)

    real = io.open
    monkeypatch.setattr(io, 'open', opened)
    monkeypatch.setattr('builtins.open', opened)
    monkeypatch.setattr(Path, 'open', lambda path, *args, **kwargs: opened(path, *args, **kwargs))  # Python 3.10


@pytest.fixture
def other(tiny_rn):
    """A model of the tiny architecture with other weights."""
    torch.manual_seed(7)
    return open_clip_model(tiny_rn)


def _same(loaded, model):
    expected = model.state_dict()
    return all(torch.equal(value, expected[key]) for key, value in loaded.model.state_dict().items())


def test_one_copy_per_process_with_the_same_random_weights(tiny_rn):
    first = load_clip(**tiny_rn)
    assert load_clip(**tiny_rn) is first
    loading._load.cache_clear()
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    again = load_clip(**tiny_rn)
    assert again is not first and again.fingerprint == first.fingerprint
    assert torch.equal(before, torch.random.get_rng_state())  # loading does not change the random state of the caller


def test_a_file_that_changed_is_read_again(tmp_path, tiny_rn, other, monkeypatch):
    state = other.state_dict()
    for folder, changed in (('a', state), ('b', {**state, 'logit_scale': torch.tensor(3.)})):
        (tmp_path / folder).mkdir()
        torch.save(changed, tmp_path / folder / 'weights.pt')
    monkeypatch.chdir(tmp_path / 'a')
    first = load_clip(**tiny_rn, weights='weights.pt')
    assert load_clip(**tiny_rn, weights='weights.pt') is first
    monkeypatch.chdir(tmp_path / 'b')
    assert load_clip(**tiny_rn, weights='weights.pt').model.logit_scale == 3
    torch.save({**state, 'logit_scale': torch.tensor(4.)}, 'weights.pt')
    assert load_clip(**tiny_rn, weights='weights.pt').model.logit_scale == 4


def test_random_weights_are_warned_of(tiny_rn, monkeypatch):
    said = record_logs(monkeypatch, 'mmseg_mvp.clip.loading')
    loading._load.cache_clear()
    load_clip(**tiny_rn)
    assert len(said) == 1 and 'random weights' in said[0]


@pytest.mark.parametrize('layout', ['open_clip', 'training checkpoint', 'openai'])
def test_state_dict_files(tmp_path, tiny_rn, other, layout):
    state = other.state_dict()
    if layout == 'training checkpoint':
        state = dict(epoch=3, state_dict={f'module.{key}': value for key, value in state.items()})
    elif layout == 'openai':
        state = dict(state, input_resolution=torch.tensor(64), context_length=torch.tensor(77),
                     vocab_size=torch.tensor(49408))
    torch.save(state, tmp_path / 'weights.pt')
    loaded = load_clip(**tiny_rn, weights=str(tmp_path / 'weights.pt'))
    assert _same(loaded, other)
    assert loaded.weights_hash == weights_hash(other) != load_clip(**tiny_rn).weights_hash


def test_safetensors_file(tmp_path, tiny_rn, other):
    save_file(other.state_dict(), tmp_path / 'weights.safetensors')
    assert _same(load_clip(**tiny_rn, weights=str(tmp_path / 'weights.safetensors')), other)


def test_openai_torchscript_archive(tmp_path, tiny_rn, other):
    class Archive(torch.nn.Module):
        """Traced module with the parameter names of CLIP, as in OpenAI's files."""

        def forward(self, x):
            return x

    archive = Archive()
    for name, module in other.named_children():
        archive.add_module(name, torch.nn.Module())
    for key, value in other.state_dict().items():
        owner = archive
        *path, leaf = key.split('.')
        for part in path:
            if not hasattr(owner, part):
                owner.add_module(part, torch.nn.Module())
            owner = getattr(owner, part)
        owner.register_buffer(leaf, value.half() if value.is_floating_point() else value)
    torch.jit.save(torch.jit.trace(archive, torch.zeros(1)), tmp_path / 'RN.pt')
    loaded = load_clip(**tiny_rn, weights=str(tmp_path / 'RN.pt'))
    assert torch.allclose(loaded.model.token_embedding.weight, other.token_embedding.weight, atol=1e-3)
    assert loaded.model.token_embedding.weight.dtype is torch.float32


def test_every_architecture_of_the_paper_and_its_peers_is_known():
    names = set(open_clip.list_models())
    wanted = {'RN50', 'RN101', 'RN50x4', 'RN50x16', 'RN50x64', 'ViT-B-32', 'ViT-B-16', 'ViT-L-14', 'ViT-L-14-336'}
    assert {f'{name}-quickgelu' for name in wanted} <= names
    assert all('openai' in open_clip.list_pretrained_tags_by_model(f'{name}-quickgelu') for name in wanted)


class TestBadInput:

    def test_unknown_model_names_its_neighbours(self):
        with pytest.raises(UserError, match="no CLIP model 'RN51'.*RN50"):
            load_clip('RN51', 'openai')

    def test_missing_config_file(self):
        with pytest.raises(UserError, match="'none.json' does not exist"):
            load_clip('none.json')

    def test_unknown_tag_lists_the_models_tags(self):
        with pytest.raises(UserError, match="weights 'opanai'.*RN50-quickgelu.*openai"):
            load_clip('RN50-quickgelu', 'opanai')

    def test_missing_file(self, tiny_rn):
        with pytest.raises(UserError, match="'nowhere.pt'.*were not found"):
            load_clip(**tiny_rn, weights='nowhere.pt')

    @pytest.mark.parametrize('name', ['cut.pt', 'cut.safetensors'])
    def test_truncated_file(self, tmp_path, tiny_rn, other, name):
        path = tmp_path / name
        (save_file if name.endswith('safetensors') else torch.save)(other.state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(UserError, match=f"{name}'? can't be read"):
            load_clip(**tiny_rn, weights=str(path))

    @pytest.mark.parametrize('name', ['a.pt', 'a.safetensors'])
    @pytest.mark.parametrize('content, words', [
        ('\n<!DOCTYPE html><html>404</html>', 'it is a web page: download the file itself'),
        ('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n', 'it is a pointer of Git LFS: run git')])
    def test_a_download_that_failed(self, tmp_path, tiny_rn, name, content, words):
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match=f"{name}'? can't be read .*: {words}"):
            load_clip(**tiny_rn, weights=str(tmp_path / name))

    def test_file_of_another_architecture(self, tmp_path, tiny_rn, tiny_vit):
        torch.save(load_clip(**tiny_vit).model.state_dict(), tmp_path / 'vit.pt')
        with pytest.raises(UserError, match="vit.pt' does not fit CLIP '.*tiny_rn.json'"):
            load_clip(**tiny_rn, weights=str(tmp_path / 'vit.pt'))

    def test_pickle_with_code_is_not_run(self, tmp_path, tiny_rn):
        class Evil:
            def __reduce__(self):
                return open, (str(tmp_path / 'proof'), 'w')

        torch.save(dict(state_dict=Evil()), tmp_path / 'evil.pt')
        with pytest.raises(UserError, match='evil.pt is not read.*it asks for .*open'):
            load_clip(**tiny_rn, weights=str(tmp_path / 'evil.pt'))
        assert not (tmp_path / 'proof').exists()

    def test_a_pickled_module_is_no_state_dict(self, tmp_path, tiny_rn, other):
        torch.save(other, tmp_path / 'whole.pt')
        with pytest.raises(UserError, match='whole.pt.* object of type open_clip.model.CLIP.*--trust-checkpoint'):
            load_clip(**tiny_rn, weights=str(tmp_path / 'whole.pt'))
        with trusted_checkpoints():
            read = load_clip(**tiny_rn, weights=str(tmp_path / 'whole.pt'))
        assert read.weights_hash == weights_hash(other)

    def test_torchscript_with_code_is_not_run(self, tmp_path, tiny_rn):
        proof = write_torchscript(tmp_path / 'evil.pt')
        with pytest.raises(UserError, match="evil.pt' does not fit CLIP"):  # its only tensor is read; no code runs
            load_clip(**tiny_rn, weights=str(tmp_path / 'evil.pt'))
        assert not proof.exists()

    def test_tag_that_cannot_be_fetched_says_what_to_do(self, monkeypatch):
        def fail(*args, **kwargs):
            raise RuntimeError('Failed to download')

        monkeypatch.setattr(download, 'file_at_hand', lambda *args: None)
        monkeypatch.setattr(download, 'unreachable_hub', lambda repository: None)
        monkeypatch.setattr(open_clip, 'download_pretrained', fail)
        with pytest.raises(UserError, match=r"'openai'.*could not be downloaded.*Failed.*clip=dict\(model='RN50-"):
            load_clip('RN50-quickgelu', 'openai')

    @pytest.mark.parametrize('settings, words', [
        (dict(quick_gelu='false'), "quick_gelu is 'false', not a bool"),
        (dict(preprocess_cfg=[1]), r'preprocess_cfg is \[1\], not a dict'), (dict(text_cfg=[1]), 'text_cfg is'),
        (dict(mmseg_mvp=dict(stride=[1, 2, 1, 1])), 'takes vision_strides alone, four numbers of 1 or 2'),
        (dict(mmseg_mvp=dict(vision_strides=[1, 2])), 'four numbers'),
        (dict(mmseg_mvp=dict(vision_strides=[1, 2, 3, 1])), 'four numbers'),
        (dict(vision_cfg=dict(layers=3, width=64, head_width=7, patch_size=16)), 'AssertionError')])
    def test_entries_that_would_be_misread(self, tmp_path, tiny_rn, settings, words):
        path = changed_config(tiny_rn, tmp_path, None, settings)
        with pytest.raises(UserError, match=f"changed.json' can't be used .*{words}"):
            load_clip(path)

    @pytest.mark.parametrize('change, words', [(lambda value: value.to_sparse(), 'sparse'),
                                               (lambda value: value.to('meta'), 'without values')])
    def test_tensors_that_are_not_dense(self, tmp_path, tiny_rn, other, change, words):
        state = other.state_dict()
        torch.save({**state, 'ln_final.weight': change(state['ln_final.weight'])}, tmp_path / 'a.pt')
        with pytest.raises(UserError, match=f"a.pt' holds ln_final.weight {words}: expected dense"):
            load_clip(**tiny_rn, weights=str(tmp_path / 'a.pt'))

    @pytest.mark.parametrize('name', ['a.pt', 'a.safetensors'])
    def test_a_file_without_permission(self, tmp_path, tiny_rn, name, monkeypatch):
        (tmp_path / name).touch()
        forbid(monkeypatch, tmp_path / name)
        with pytest.raises(UserError, match=f"{name}'? can't be read .*: give the path of a file that you are allowed"):
            load_clip(**tiny_rn, weights=str(tmp_path / name))

    def test_a_config_without_permission(self, tmp_path, tiny_rn, monkeypatch):
        path = changed_config(tiny_rn, tmp_path, None, {})
        forbid(monkeypatch, Path(path))
        with pytest.raises(UserError, match="changed.json' can't be used .PermissionError"):
            load_clip(path)

    def test_a_very_long_name(self):
        with pytest.raises(UserError, match='no CLIP model'):
            load_clip('x' * 5000)

    @pytest.mark.parametrize('text', ['{"embed_dim": 4', '{"embed_dim": 4}', '{"vision_cfg": 3}'])
    def test_config_that_is_none(self, tmp_path, text):
        (tmp_path / 'broken.json').write_text(text)
        with pytest.raises(UserError, match="broken.json' can't be used"):
            load_clip(str(tmp_path / 'broken.json'))


def test_one_number_for_all_channels(tmp_path, tiny_rn):
    """open_clip repeats a single mean or standard deviation."""
    path = changed_config(tiny_rn, tmp_path, None, dict(preprocess_cfg=dict(mean=0, std=0.5)))
    loaded = load_clip(path)
    assert loaded.mean == (0, 0, 0) and loaded.std == (.5, .5, .5)


def test_lists_and_paths_as_in_a_config(tiny_rn):
    loaded = load_clip(Path(tiny_rn['model']), mean=[0, 0, 0], std=[1, 1, 1])
    assert loaded.mean == (0, 0, 0) and loaded.name == tiny_rn['model']
    with pytest.raises(UserError, match="clip.mean is '0.5': expected three numbers"):
        load_clip(**tiny_rn, mean='0.5')

"""Every mistake of the list: one clear sentence on stderr, exit code 2, nothing overwritten."""
import runpy
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from fixtures import trees
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner.checkpoint import save_checkpoint
from mmseg.registry import MODELS

from mmseg_mvp.vocabularies import class_names

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('mmseg_scope')]
ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/mvp_seg/voc_zs.py'
NO_WORKERS = {f'{loader}.{key}': value for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader')
              for key, value in (('num_workers', 0), ('persistent_workers', False))}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with VOC in ``data/`` and a config for the tiny CLIP."""
    trees.write_voc(tmp_path / 'data')
    monkeypatch.chdir(tmp_path)
    # A Runner's logger writes to the stream that pytest captures for one test: let no other test inherit it.
    monkeypatch.setattr(MMLogger, '_instance_dict', OrderedDict())
    return tmp_path


@pytest.fixture
def refuse(place, tiny_rn, monkeypatch, capfd):
    """Run a tool with options and check how it ends; the sentence."""

    def run(tool, *arguments, **options):
        options = {'model.clip.model': tiny_rn['model'], 'model.clip.weights': None, 'train_cfg.max_iters': 1,
                   'train_dataloader.batch_size': 2, **NO_WORKERS, **options}
        files = sorted(place.rglob('*.pth'))
        pairs = [f'{key}={value}' for key, value in options.items()]
        argv = [f'{tool}.py', str(CONFIG), *map(str, arguments), '--work-dir', 'work', '--cfg-options', *pairs]
        monkeypatch.setattr(sys, 'argv', argv)
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / 'tools' / f'{tool}.py'), run_name='__main__')
        said = capfd.readouterr().err.split('error: ')[-1]
        assert end.value.code == 2 and 'Traceback' not in said
        assert sorted(place.rglob('*.pth')) == files
        return said

    return run


def build_prompts(clip, **prompts):
    cfg = Config.fromfile(CONFIG).model
    cfg.clip = clip
    cfg.decode_head.prompts.update(prompts)
    return MODELS.build(cfg)


class TestCLIP:

    def test_unknown_name(self, refuse):
        assert "no CLIP model 'RN51'" in refuse('train', **{'model.clip.model': 'RN51'})

    def test_unknown_tag(self, refuse):
        said = refuse('train', **{'model.clip.model': 'RN50-quickgelu', 'model.clip.weights': 'opanai'})
        assert "weights 'opanai'" in said and 'openai' in said

    def test_missing_file(self, refuse):
        assert "'none.pt'" in refuse('train', **{'model.clip.weights': 'none.pt'})

    def test_truncated_file(self, refuse, place):
        torch.save(dict(a=torch.randn(5000)), place / 'cut.pt')
        (place / 'cut.pt').write_bytes((place / 'cut.pt').read_bytes()[:3000])
        assert "cut.pt can't be read" in refuse('train', **{'model.clip.weights': 'cut.pt'})

    def test_other_architecture(self, refuse, place):
        torch.save({'visual.conv1.weight': torch.randn(1)}, place / 'vit.pt')
        assert "'vit.pt' does not fit" in refuse('train', **{'model.clip.weights': 'vit.pt'})


class TestData:

    def test_missing_root(self, refuse, place):
        (place / 'data').rename(place / 'elsewhere')
        said = refuse('train')
        assert 'data/VOCdevkit/VOC2012' in said and 'SegmentationClassAug' in said

    def test_missing_split_file(self, refuse, place):
        (place / 'data/VOCdevkit/VOC2012/ImageSets/Segmentation/aug.txt').unlink()
        said = refuse('train')
        assert 'aug.txt' in said and 'ImageSets' in said

    def test_label_outside_the_classes(self, refuse, place):
        for name in place.glob('data/**/SegmentationClass*/*.png'):
            trees.write_mask(name, [0, 1, 77], palette=True)
        said = refuse('train')
        assert '77' in said and '.png' in said and '20 classes' in said

    def test_unreadable_image(self, refuse, place):
        for name in place.glob('data/**/*.jpg'):
            name.write_bytes(name.read_bytes()[:200])
        assert '.jpg' in refuse('train')

    def test_unreadable_image_in_a_worker_process(self, refuse, place):
        for name in place.glob('data/**/*.jpg'):
            name.write_bytes(b'no image')
        said = refuse('train', **{'train_dataloader.num_workers': 1})
        assert '.jpg' in said and len(said.strip().splitlines()) == 1


class TestVocabulary:

    @pytest.mark.parametrize('key, value, words', [
        ('model.decode_head.test_classes', '[cat,dog,cat]', "['cat']"),
        ('model.decode_head.test_classes', '[]', 'No class'),
        ('model.decode_head.test_classes', '[cat,' + 'very_' * 80 + 'long]', 'tokens'),
        ('model.decode_head.test_classes', 'nowhere.txt', 'nowhere.txt'),
        ('val_evaluator.unseen', '[dragon,unicorn]', "['dragon', 'unicorn']"),
    ])
    def test_lists(self, refuse, key, value, words):
        assert words in refuse('train', **{key: value})

    def test_other_order_than_the_data_set(self, refuse):
        names = class_names('voc20')
        said = refuse('test', **{'model.decode_head.test_classes': f'[{",".join(names[::-1])}]'})
        assert "label 0 is 'aeroplane' in the data set and 'tvmonitor' in decode_head.test_classes" in said

    def test_other_number_than_the_data_set(self, refuse):
        assert 'train_classes has 20 classes, but the data set has 15' in refuse(
            'train', **{'model.decode_head.train_classes': 'voc20'})

    def test_empty_file(self, refuse, place):
        (place / 'empty.txt').write_text('# nothing yet\n')
        assert 'empty.txt' in refuse('train', **{'model.decode_head.test_classes': 'empty.txt'})


class TestCheckpoint:

    def test_another_clip(self, refuse, place, tiny_vit):
        save_checkpoint(dict(state_dict=build_prompts(tiny_vit).state_dict(), meta={}), str(place / 'vit.pth'))
        said = refuse('test', 'vit.pth')
        assert 'tiny_vit.json' in said and 'tiny_rn.json' in said

    def test_another_number_of_prompts(self, refuse, place, tiny_rn):
        model = build_prompts(dict(tiny_rn, weights=None), num_prompts=5)
        save_checkpoint(dict(state_dict=model.state_dict(), meta={}), str(place / 'five.pth'))
        said = refuse('test', 'five.pth')
        assert "'num_prompts': 5" in said and "'num_prompts': 3" in said

    def test_something_else(self, refuse, place):
        torch.save(dict(state_dict={'fc.weight': torch.zeros(1)}), place / 'other.pth')
        assert 'no entry for this model' in refuse('test', 'other.pth')


def test_loss_that_is_not_finite(refuse):
    said = refuse('train', **{'optim_wrapper.optimizer.lr': '1e38', 'train_cfg.max_iters': 3})
    assert 'not finite' in said and 'decode.loss_' in said


def test_nothing_to_train(place, monkeypatch, capfd, tiny_rn):
    argv = ['train.py', str(ROOT / 'configs/maskclip/voc_zs.py'), '--cfg-options', 'model.clip.weights=None',
            f'model.clip.model={tiny_rn["model"]}']
    monkeypatch.setattr(sys, 'argv', argv)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
    assert end.value.code == 2 and 'nothing to train' in capfd.readouterr().err


VOC = str(ROOT / 'configs/maskclip/voc_zs.py')


def run(tool: str, *arguments: str, cwd: Path, python=(sys.executable,)) -> subprocess.CompletedProcess:
    return subprocess.run([*python, str(ROOT / 'tools' / tool), *arguments], cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize('tool, arguments, expected', [
    ('train.py', ['nobody.py'], 'config nobody.py does not exist'),
    ('test.py', [VOC, 'gone.pth'], 'checkpoint gone.pth does not exist'),
    ('test.py', [VOC], "data root 'data/VOCdevkit/VOC2012'"),
    ('test.py', [VOC, '--out', '.'], '--out . exists and is not an empty folder'),
    ('test.py', [VOC, '--show-dir', '.'], '--show-dir . exists and is not an empty folder'),
])
def test_tools_say_it_in_one_sentence_and_write_nothing(tmp_path, tool, arguments, expected):
    (tmp_path / 'earlier.txt').write_text('kept')
    done = run(tool, *arguments, cwd=tmp_path)
    sentence = done.stderr[done.stderr.index('error: '):]
    assert done.returncode == 2
    assert expected in sentence and 'Traceback' not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ['earlier.txt']


@pytest.mark.slow
@pytest.mark.parametrize('tool', ['train.py', 'test.py'])
def test_tools_without_the_install_say_how_to_install(tmp_path, tool):
    """-S leaves site-packages out, which is a checkout where nothing was installed."""
    done = run(tool, VOC, cwd=tmp_path, python=(sys.executable, '-S', '-E'))
    assert done.returncode != 0 and 'Traceback' not in done.stderr
    assert "No module named 'mmseg_mvp'; in the checkout, run: pip install -e" in done.stderr

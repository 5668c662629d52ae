"""tools/adapt.py: annotations to a checkpoint that is better on held-out photos, the way back, and mistakes."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.tools import load_tool
from PIL import Image

from mmseg_mvp import app
from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.datasets.annotations import labelme_record
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.evaluation.zero_shot_iou import ZeroShotIoUMetric, class_iou

TOY = ('--clip', 'toy-rn:toy', '--unlabelled', 'ignore')


def write_photo(index, folder, split='train'):
    """Write a toy picture with its labelme file and return the picture."""
    scene, photo = draw_scene(index, split), Path(folder, f'{split}{index:02d}.png')
    photo.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene.image).save(photo)
    photo.with_suffix('.json').write_text(json.dumps(labelme_record(scene.labels, CLASSES, photo.name)))
    return photo


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a tool in an empty folder; its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, name='adapt'):
        tool = load_tool(f'{name}.py')
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, arguments)])
        with pytest.raises(SystemExit) as end, app.user_errors():
            tool.main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return call


def mean_iou(seg, classes, count=40):
    """mIoU over drawn test pictures, by the metric's own counts."""
    areas = torch.zeros(3, len(classes), dtype=torch.int64)
    for index in range(count):
        scene = draw_scene(index, 'test')
        table = np.array([classes.index(name) if name in classes else 255 for name in CLASSES] + [255] * 236)
        areas += ZeroShotIoUMetric.intersect_and_union(
            torch.from_numpy(seg(Image.fromarray(scene.image), classes).label_map),
            torch.from_numpy(table[scene.labels]), len(classes), 255)
    return class_iou(areas).nanmean().item()


@pytest.mark.slow
def test_twenty_photos_make_a_better_model_whose_annotations_are_adapted_on_again(run):
    for index in range(20):
        write_photo(index, 'first')
    code, out, err = run('first', 'first', *TOY)
    assert code == 0, err
    assert 'labelme: 16 photos to train, 4 held out, 19 classes.' in out and 'adapted/report.html' in out
    classes = Path('adapted/data/classes.txt').read_text().split('\n')[:-1]
    learned = OpenVocabInferencer('adapted/iter_320.pth', device='cpu')
    assert list(learned.classes) == classes
    start = OpenVocabInferencer(clip=dict(model='toy-rn', weights='toy'), device='cpu')
    assert mean_iou(learned, classes) > mean_iou(start, classes) + 4
    assert len(list(Path('adapted/pictures').glob('*.png'))) == 4

    new = [write_photo(index, 'new', 'test') for index in range(4)]
    for photo in new:
        photo.with_suffix('.json').unlink()
    code, _, err = run('new', '--classes', 'adapted/data/classes.txt', '--checkpoint', 'adapted/iter_320.pth',
                       '--format', 'labelme', '--out-dir', 'new', name='segment')
    assert code == 0 and all(photo.with_suffix('.json').is_file() for photo in new), err
    for photo in new:
        photo.rename(Path('first', photo.name))
        photo.with_suffix('.json').rename(Path('first', photo.with_suffix('.json').name))
    code, out, err = run('first', 'first', *TOY, '--classes', 'adapted/data/classes.txt', '--steps', 2,
                         '--augmentations', 1, '--val', 0, '--out', 'again')
    assert code == 0 and '24 photos to train, 0 held out' in out and 'No photo is held out' in out, err
    assert Path('again/iter_2.pth').is_file() and not Path('again/report.html').exists()


@pytest.mark.parametrize('arguments, words', [
    (['--out', 'photos'], '--out photos exists and is not an empty folder'),
    (['--clip', 'toy-rn'], '--clip toy-rn is not MODEL:WEIGHTS'),
    (['--clip', 'toy-rn:nowhere.pt'], 'nowhere.pt'),
    (['--steps', '0'], '--steps is 0'),
    (['--augmentations', '-1'], '--augmentations is -1'),
    (['--val', '1.5'], '--val'),
    (['--classes', 'nowhere.txt'], 'nowhere.txt'),
])
def test_mistakes_are_told_in_one_sentence_before_the_work(run, arguments, words):
    write_photo(0, 'photos')
    code, _, err = run('photos', 'photos', *TOY, *arguments)
    assert code == 2 and words in err and err.startswith('error: ') and err.count('\n') == 1
    assert not Path('adapted').exists()


@pytest.mark.parametrize('photos, annotations, words', [
    ('nowhere', 'photos', 'nowhere'), ('photos', 'nowhere', 'nowhere'), ('photos', 'empty', 'empty')])
def test_missing_files_are_named(run, photos, annotations, words):
    write_photo(0, 'photos')
    Path('empty').mkdir()
    code, _, err = run(photos, annotations, *TOY)
    assert code == 2 and words in err and err.startswith('error: ') and err.count('\n') == 1


def test_a_photo_beyond_the_limit_is_refused(run):
    write_photo(0, 'photos')
    code, _, err = run('photos', 'photos', *TOY, '--max-pixels', 100)
    assert code == 2 and '64 x 64' in err and 'train00.png' in err and err.count('\n') == 1
    assert not Path('adapted').exists() or not list(Path('adapted').iterdir())

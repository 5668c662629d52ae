"""The explanation of a prediction on the toy world, file by file."""
import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.tools import load_tool
from mmengine.config import Config
from mmseg.apis import inference_model, init_model
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import draw_scene
from mmseg_mvp.visualization import draw_overlay

CONFIGS = Path(__file__).parents[2] / 'configs'
MVP_SEG, MASKCLIP = (str(CONFIGS / method / 'toy_zs.py') for method in ('mvp_seg', 'maskclip'))


@pytest.fixture
def explain(monkeypatch, tmp_path):
    tool = load_tool('analysis_tools/explain.py')

    def run(*arguments, folder=tmp_path / 'why'):
        argv = ['explain.py', *map(str, arguments), '--out-dir', str(folder), '--device', 'cpu']
        monkeypatch.setattr(sys, 'argv', argv)
        with tool.app.user_errors():
            tool.main()
        return folder

    return run


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / 'photo.png'
    Image.fromarray(draw_scene(2, 'test', 64).image).save(path)
    return path


def test_mvp_seg_on_its_test_data(explain, tmp_path):
    model = init_model(MVP_SEG, device='cpu')
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'learned.pth')
    folder = explain(MVP_SEG, tmp_path / 'learned.pth', '--index', 1, '--top', 2, '--classes', 'tree, house, boat')
    names = {path.name for path in folder.iterdir()}
    assert names == {'overlay.png', 'classes.png', 'classes.csv', 'presence.png', 'nearest_words.csv',
                     'nearest_words.md'}
    contexts, tower = model.decode_head.classifier.prompts.contexts.detach(), model.decode_head.classifier.tower.module
    rows = list(csv.DictReader((folder / 'nearest_words.csv').open()))
    titles = ['global prompt', 'prompt 1', 'prompt 2', 'prompt 3']
    assert [row['prompt'] for row in rows[::12]] == titles
    tokens = {word: token for token, word in tower.words().items()}
    for row in rows:
        vector = contexts[titles.index(row['prompt']), int(row['vector']) - 1]
        word = tower.embed(torch.tensor(tokens[row['word']]))
        assert float(row['distance']) == pytest.approx(float((vector - word).norm()), abs=1e-4)
    table = (folder / 'nearest_words.md').read_text().splitlines()
    assert len(table) == 2 + 6 and table[2].startswith(f'| v1 | {rows[0]["word"]} (')


def test_maskclip_on_an_image_says_what_there_is_none_of(explain, photo, capsys):
    key, templates = 'model.decode_head.prompts.templates', 'single'  # 85 take long to encode
    folder = explain(MASKCLIP, photo, '--classes', 'tree, house, boat', '--cfg-options', f'{key}={templates}')
    said = capsys.readouterr().out
    for sentence in ('one view of each class', 'no presence bars: the model has no GPR',
                     'no nearest words: the prompts are sentences (TemplatePrompts)'):
        assert sentence in said
    names = {path.name for path in folder.iterdir()}
    model = init_model(MASKCLIP, device='cpu', cfg_options={key: templates})
    model.set_classes(['tree', 'house', 'boat'])
    labels = inference_model(model, str(photo)).pred_sem_seg.data[0].numpy()
    assert names == {'overlay.png', 'classes.png', 'classes.csv'}
    expected = draw_overlay(np.asarray(Image.open(photo)), labels, ['tree', 'house', 'boat'])
    assert np.array_equal(np.asarray(Image.open(folder / 'overlay.png')), expected)


def test_a_class_without_a_pixel_is_explained(explain, photo, capsys, tmp_path):
    """Its probability, the place and the class there are those of the inferencer; --why chooses the rows."""
    names = 'tree, boat, cup, key, bird, rocket, flower'
    cfg = Config.fromfile(MASKCLIP)
    cfg.model.decode_head.prompts.templates = 'single'  # 85 take long to encode
    cfg.dump(config := tmp_path / 'config.py')
    folder = explain(config, photo, '--classes', names)
    said = capsys.readouterr().out
    rows = list(csv.DictReader((folder / 'classes.csv').open()))
    assert sorted(row['name'] for row in rows) == sorted(names.split(', '))
    scores = (out := OpenVocabInferencer(cfg, device='cpu')(photo, names)).scores()
    absent = [row for row in rows if float(row['share']) == 0]
    assert absent and {row['name'] for row in absent} == set(names.split(', ')) - set(out.present())
    for row in absent:
        own, x, y = scores[out.index(row['name'])], int(row['x']), int(row['y'])
        assert own[y, x] == pytest.approx(own.max(), abs=1e-6) == pytest.approx(float(row['probability']), abs=1e-6)
        assert row['leader'] == out.classes[scores[:, y, x].argmax()]
        assert f'{row["name"]}: no pixel, probability {own.max():.3f} at ({x}, {y}), there {row["leader"]!r}' in said
    few = explain(config, photo, '--classes', names, '--why', absent[0]['name'], folder=tmp_path / 'few')
    assert Image.open(few / 'classes.png').height < Image.open(folder / 'classes.png').height - 3 * 96


def test_of_a_model_without_views_there_are_the_scores(explain, photo, capsys):
    folder = explain(CONFIGS / 'lseg' / 'toy_zs.py', photo, '--classes', 'tree, house')
    assert {path.name for path in folder.iterdir()} == {'overlay.png', 'classes.png', 'classes.csv'}
    assert 'no views: only MVP-SEG and MaskCLIP' in capsys.readouterr().out


@pytest.mark.parametrize('arguments, message', [
    ((MVP_SEG, '--index', 1000), '--index is 1000, but the test data have the images 0 to 499'),
    ((MVP_SEG, 'nowhere.pth'), 'checkpoint nowhere.pth does not exist'),
    ((MASKCLIP, 'nowhere.png'), 'nowhere.png does not exist'),
    ((MVP_SEG, '--top', 0), '(--top) is 0'),
    ((MASKCLIP, '--classes', 'tree, boat', '--why', 'cup'), "'cup' is not among the segmented classes"),
    ((MASKCLIP, '--classes', 'tree'), "'tree' is a single class or an unknown label set")])
def test_mistakes_are_one_sentence_and_write_nothing(explain, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit, match='2'):
        explain(*arguments)
    assert message in capsys.readouterr().err and not (tmp_path / 'why').exists()


def test_nothing_is_overwritten(explain, capsys, tmp_path):
    (tmp_path / 'old.txt').touch()
    with pytest.raises(SystemExit, match='2'):
        explain(MASKCLIP, folder=tmp_path)
    assert 'exists and is not an empty folder' in capsys.readouterr().err

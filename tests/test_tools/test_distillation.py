"""Training of toy-vit: sentences, images, losses by hand, optimizers, and two equal short runs."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.lanes import MUON
from fixtures.tools import load_tool
from safetensors.torch import load_file

from mmseg_mvp.clip import load_clip
from mmseg_mvp.clip.building import SHIPPED, build_from_config
from mmseg_mvp.clip.compact_table import expand_token_table, keep_tokens
from mmseg_mvp.clip.training import image_tower
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.errors import UserError

SCRIPT = Path(__file__).parents[2] / 'tools' / 'toy' / 'train_clip.py'


@pytest.fixture(scope='module')
def tool():
    return load_tool('toy/distillation.py')


def student(tool):
    torch.manual_seed(0)
    model, table = build_from_config(SHIPPED / 'toy-vit.json'), tool.TokenTable(32)
    keep_tokens(model, table.ids)
    return model, table


@torch.no_grad()
def test_sentences_are_those_of_toy_rn_with_its_text_tower(tool):
    model, table = student(tool)
    teacher = load_clip('toy-rn', 'toy')
    visual = {name: value.clone() for name, value in image_tower(model).state_dict().items()}
    texts = tool.copy_text(teacher.model, model, table)
    assert all(torch.equal(value, visual[name]) for name, value in image_tower(model).state_dict().items())
    assert torch.equal(model.logit_scale, teacher.model.logit_scale)
    assert torch.allclose(texts.norm(dim=1), torch.ones(len(texts)), atol=1e-5)
    boat = teacher.model.encode_text(teacher.tokenizer([text.format('boat') for text in tool.TEMPLATES]))
    expected = sum(row / row.norm() for row in boat)
    assert torch.allclose(texts[CLASSES.index('boat')], expected / expected.norm(), atol=1e-4)
    roof = teacher.model.encode_text(teacher.tokenizer(['the roof of a house.']))[0]
    assert (texts @ (roof / roof.norm())).max() == pytest.approx(1, abs=1e-4)


def test_images_are_new_ones_of_the_split_of_toy_rn(tool):
    found = tool.draw(5, 2)
    pixels = draw_scene(6, 'pretrain').image[10, 20].astype(float)
    expected = (pixels / 255 - [0.48145466, 0.4578275, 0.40821073]) / [0.26862954, 0.26130258, 0.27577711]
    assert found.shape == (2, 3, 64, 64) and np.allclose(found[1, :, 10, 20], expected, atol=1e-5)


@torch.no_grad()
def test_features_of_the_teacher_are_those_of_its_towers(tool):
    clip, images = load_clip('toy-rn', 'toy'), tool.draw(0, 2)
    picture, cells = tool.features(clip.model, images)
    expected = clip.dense_tower('maskclip')(images)[-1]
    assert torch.cosine_similarity(cells, expected, dim=1).min() > .99  # bfloat16
    assert torch.allclose(cells.norm(dim=1), torch.ones(2, 8, 8), atol=1e-5)
    assert torch.cosine_similarity(picture, clip.model.encode_image(images)).min() > .99


def test_loss_spelled_out(tool):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 2, 4, 1, 2))  # two kinds of features of the model, and the teacher's
    texts, mean, pictures = rng.normal(size=(5, 4)), rng.normal(size=4), rng.normal(size=(2, 2, 4))
    unit = maps / np.linalg.norm(maps, axis=2, keepdims=True)

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    def cell(ours, theirs):
        p, q = (np.exp(30 * texts @ one) / np.exp(30 * texts @ one).sum() for one in (ours, theirs))
        return (q * np.log(q / p)).sum() + 1 - cosine(ours - mean, theirs - mean)

    cells = [cell(unit[kind, b, :, 0, x], unit[2, b, :, 0, x]) for kind in (0, 1) for b in (0, 1) for x in (0, 1)]
    expected = np.mean(cells) + .2 * np.mean([1 - cosine(*pictures[:, b]) for b in (0, 1)])
    maps, unit, texts, mean, pictures = map(torch.from_numpy, (maps, unit, texts, mean, pictures))
    found = tool.difference((pictures[0], maps[0], maps[1]), (pictures[1], unit[2]), texts, mean)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    assert float(tool.difference((pictures[1], unit[2]), (pictures[1], unit[2]), texts, mean)) == pytest.approx(0)


def test_rate_rises_stays_and_falls_to_nearly_nothing(tool):
    assert [tool.rate(step, 1000) for step in (0, 99, 199, 400, 600)] == [.005, .5, 1, 1, 1]
    assert tool.rate(800, 1000) == pytest.approx(.5) and tool.rate(999, 1000) == pytest.approx(.0025)


@MUON
def test_each_weight_of_the_tower_has_one_optimizer(tool):
    visual = image_tower(build_from_config(SHIPPED / 'toy-vit.json'))
    groups = [[value for group in one.param_groups for value in group['params']]
              for one in tool.build_optimizers(visual)]
    assert sorted(map(id, groups[0] + groups[1])) == sorted(map(id, visual.parameters()))
    assert len(groups[0]) == 4 * 5 and all(value.ndim == 2 for value in groups[0])


def test_without_muon_the_message_names_the_version(tool, monkeypatch):
    monkeypatch.delattr(torch.optim, 'Muon', raising=False)
    with pytest.raises(UserError, match='no optimizer Muon.*torch >= 2.9'):
        tool.build_optimizers(image_tower(build_from_config(SHIPPED / 'toy-vit.json')))


@MUON
@pytest.mark.slow
def test_two_short_runs_write_the_same_bytes_that_fit(tmp_path):
    for name in ('a', 'b'):
        run = subprocess.run([sys.executable, str(SCRIPT), '--model', 'toy-vit', '--out', str(tmp_path / name),
                              '--steps', '3', '--batch-size', '4'], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        assert 'step 3/3' in run.stdout and 'min left' in run.stdout
    assert (tmp_path / 'a').read_bytes() == (tmp_path / 'b').read_bytes()
    model = build_from_config(SHIPPED / 'toy-vit.json')
    model.load_state_dict(expand_token_table(model, load_file(tmp_path / 'a')), strict=True)

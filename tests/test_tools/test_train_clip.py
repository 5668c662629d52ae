"""Training of the toy CLIP: tokens, losses compared with CLIP's, batches, and a short run."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fixtures.tools import load_tool
from safetensors.torch import load_file
from torch.nn import functional as F

from mmseg_mvp.clip.building import SHIPPED, build_from_config
from mmseg_mvp.clip.compact_table import expand_token_table, keep_tokens
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.datasets.toy.windows import Window

SCRIPT = Path(__file__).parents[2] / 'tools' / 'toy' / 'train_clip.py'


@pytest.fixture(scope='module')
def tool():
    return load_tool('toy/train_clip.py')


@torch.no_grad()
def test_trimmed_text_equals_encode_text(tool):
    model = build_from_config(SHIPPED / 'toy-rn.json').eval()
    table, texts = tool.TokenTable(32), ['a photo of a house.', 'ice cream.', 'the red roof of a house at the top.']
    expected = F.normalize(model.encode_text(table.tokenizer(texts)), dim=-1)
    keep_tokens(model, table.ids)
    assert torch.allclose(tool.encode_text(model, table(texts)), expected, atol=1e-5)


def test_contrast_with_one_positive_each_is_clips_loss(tool):
    scores = torch.randn(5, 5, dtype=torch.float64)
    target = torch.arange(5)
    expected = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
    assert torch.isclose(tool.contrast(scores, torch.eye(5, dtype=torch.bool)).double(), expected)


def test_contrast_by_hand_with_two_true_captions_and_a_false_one(tool):
    scores, truth = torch.tensor([[2., 1., 0.]]), torch.tensor([[True, True, False]])
    log_p = np.array([2., 1., 0.]) - np.log(np.exp([2., 1., 0.]).sum())
    # The false caption has no image. Each other caption has a single image, so its loss is 0.
    assert float(tool.contrast(scores, truth)) == pytest.approx(-log_p[:2].mean() / 2, abs=1e-6)


def test_soft_maximum_spelled_out(tool):
    cells, texts = torch.randn(2, 4, 2, 3), F.normalize(torch.randn(3, 4), dim=1)
    found = tool.soft_maximum(cells, texts)
    for b in range(2):
        for t in range(3):
            cosines = [float(F.cosine_similarity(cells[b, :, y, x], texts[t], dim=0))
                       for y in range(2) for x in range(3)]
            assert float(found[b, t]) == pytest.approx(np.log(np.mean(np.exp(10 * np.array(cosines)))) / 10, abs=1e-5)


def scenes(count):
    return [draw_scene(index, 'pretrain') for index in range(count)]


def test_batches_hold_what_they_say(tool):
    batch = tool.Batches(scenes(12), tool.TokenTable(32), 8, seed=0).draw()
    assert batch.images.shape == (8, 3, 64, 64) and len(batch.windows) == 8
    for tokens, truth in (batch.wholes, batch.objects, batch.parts):
        assert len(tokens) == 8 and truth.shape == (8, 8) and truth.diagonal().all() and not truth.all()


def test_a_focused_batch_names_few_classes(tool):
    table = tool.TokenTable(32)
    batches = tool.Batches(scenes(200), table, 16, seed=0)
    words = {table([name])[0, 1].item(): name for name in CLASSES}  # the first word of each name
    for _ in range(3):
        tokens, truth = batches.draw(num_classes=4).objects
        named = {words[token] for row in tokens.tolist() for token in row if token in words}
        assert 1 < len(named) <= 4 and truth.diagonal().all()
    tokens, _ = batches.draw().objects
    assert len({words[token] for row in tokens.tolist() for token in row if token in words}) > 6


def test_windows_are_cut_cell_by_cell(tool):
    cells = torch.randn(3, 4, 8, 8)
    windows = [Window(row, column, [], None) for row, column in ((0, 5), (2, 1), (5, 0))]
    found = tool.cut_windows(cells, windows)
    for index, (row, column, *_) in enumerate(windows):
        assert torch.equal(found[index], cells[index, :, row:row + 3, column:column + 3])


def test_each_loss_counts_equally(tool):
    torch.manual_seed(0)
    model, table = build_from_config(SHIPPED / 'toy-rn.json'), tool.TokenTable(32)
    keep_tokens(model, table.ids)
    model.eval()  # batch norm of fixed statistics, so that calls agree
    batch = tool.Batches(scenes(20), table, 6, seed=0).draw()
    with torch.no_grad():
        one, two, three = (tool.losses(model, batch, *flags, sharpness=30.).item()
                           for flags in ((False, False), (True, False), (True, True)))
        dense = tool.project_cells(model, tool.encode_cells(model, batch.images))
        scale = model.logit_scale.exp()
        texts = [F.normalize(tool.encode_text(model, tokens), dim=-1) for tokens in (batch.objects[0], batch.parts[0])]
        objects = tool.contrast(scale * tool.soft_maximum(dense, texts[0], 30.), batch.objects[1]).item()
        cut = tool.cut_windows(dense, batch.windows)
        parts = tool.contrast(scale * tool.soft_maximum(cut, texts[1], 30.), batch.parts[1]).item()
    assert two == pytest.approx((one + objects) / 2, rel=2e-2)  # the tower runs in bfloat16
    assert three == pytest.approx((one + objects + parts) / 3, rel=2e-2)


def test_weights_are_not_replaced_unasked(tool, tmp_path, monkeypatch):
    kept = tmp_path / 'weights.safetensors'
    kept.write_text('precious')
    monkeypatch.setattr(sys, 'argv', ['train_clip.py', '--out', str(kept)])
    with pytest.raises(SystemExit, match='add --overwrite'):
        tool.main()
    assert kept.read_text() == 'precious'


@pytest.mark.slow
def test_a_short_run_writes_weights_that_fit(tmp_path):
    out = tmp_path / 'weights.safetensors'
    options = {'steps': 4, 'dense-from': 1, 'focus-from': 2, 'windows-from': 3, 'batch-size': 8, 'pictures': 16}
    run = subprocess.run([sys.executable, str(SCRIPT), '--out', str(out), *(f'--{key}={value}' for key, value
                                                                           in options.items())],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert 'step 4/4' in run.stdout and 'min left' in run.stdout
    model = build_from_config(SHIPPED / 'toy-rn.json')
    model.load_state_dict(expand_token_table(model, load_file(out)), strict=True)

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
from mmseg_mvp.datasets.toy.scenes import draw_scene

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


def test_batches_hold_what_they_say(tool):
    table = tool.TokenTable(32)
    batches = tool.Batches([draw_scene(index, 'pretrain') for index in range(12)], table, 8, seed=0)
    images, texts = batches.draw()
    assert images.shape == (8, 3, 64, 64)
    for tokens, truth in texts:
        assert len(tokens) == 8 and truth.shape == (8, 8) and truth.diagonal().all() and not truth.all()


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
    run = subprocess.run([sys.executable, str(SCRIPT), '--out', str(out), '--steps', '3', '--dense-from', '1',
                          '--batch-size', '8', '--pictures', '16', '--threads', '1'], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert 'step 3/3' in run.stdout and 'min left' in run.stdout
    model = build_from_config(SHIPPED / 'toy-rn.json')
    model.load_state_dict(expand_token_table(model, load_file(out)), strict=True)

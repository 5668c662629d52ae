"""docs/view_shares.py: the shares of prompts, the rule of choice, and the picture."""
import sys
from pathlib import Path

import numpy as np
import pytest
from fixtures.tools import load_tool
from PIL import Image

from mmseg_mvp.apis import OpenVocabInferencer
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene

DOCS = Path(__file__).parents[1] / 'docs'


@pytest.fixture
def tool(monkeypatch):
    module = load_tool('view_shares.py', DOCS)
    monkeypatch.setattr(module, 'PICTURES', 12)
    monkeypatch.setattr(module, 'LEAST_IOU', 0.)
    return module


def test_shares_by_hand(tool):
    winners = np.array([[0, 2, -1], [2, 2, -1]])
    assert tool.shares(winners, 3).tolist() == [.25, 0, .75]


def test_the_object_is_chosen_by_the_rule(tool, tmp_path, monkeypatch, capsys):
    seg = OpenVocabInferencer(str(tool.CONFIG), device='cpu')  # prompts as drawn at the start
    found = {}
    for picture in range(12):
        scene = draw_scene(picture, 'test')
        out = seg(Image.fromarray(scene.image))
        for name in ('mushroom', 'boat', 'bird', 'rocket', 'key'):
            label = CLASSES.index(name)
            both = [(y, x) for y, x in np.argwhere(scene.labels == label) if out.label_map[y, x] == label]
            if both:
                maps = out.explanation.views(label, 1).numpy()
                wins = [int(np.argmax([maps[view, y, x] for view in range(3)])) for y, x in both]
                found[picture, name] = [wins.count(view) / len(wins) for view in range(3)]
    best = max(found, key=lambda key: min(found[key]))
    monkeypatch.setattr(tool, 'OpenVocabInferencer', lambda *args, **kwargs: seg)
    monkeypatch.setattr(sys, 'argv', ['view_shares.py', 'x.pth', str(tmp_path / 'shares.png')])
    tool.main()
    expected = np.round(found[best], 2).tolist()
    assert len(found) > 3
    assert capsys.readouterr().out.splitlines()[-1] == f'picture {best[0]}, {best[1]}: shares {expected}'
    assert np.asarray(Image.open(tmp_path / 'shares.png')).std() > 20

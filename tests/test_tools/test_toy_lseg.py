"""Toy ablation of LSeg: statistics compared with manual counts, plot, and main result."""
import json

import pytest
import torch
from fixtures.tools import load_tool
from matplotlib.image import imread

from mmseg_mvp.models import SpatialRegularization


@pytest.mark.parametrize('block', ['depthwise', 'bottleneck'])
@torch.no_grad()
def test_statistics_are_those_of_the_blocks_one_by_one(block):
    module, x = SpatialRegularization(block, 'lrelu', depth=3), torch.randn(2, 4, 5, 6)
    rows = list(load_tool('toy/lseg_statistics.py').after_each_block(module, x))
    assert [(row['block'], row['depth'], row['application']) for row in rows] == [(block, 3, i) for i in range(4)]
    stages = [x]
    for _ in range(3):
        stages.append(torch.cat([module.conv(x[:, n:n + 1]) for n in range(4)], 1))
        if block == 'bottleneck':
            stages[-1] += x.max(dim=1, keepdim=True).values
        x = torch.where(stages[-1] > 0, stages[-1], 0.01 * stages[-1])
    for row, stage in zip(rows, stages, strict=True):
        mean = sum(stage[:, n] for n in range(4)) / 4
        deviation = (sum((stage[:, n] - mean)**2 for n in range(4)) / 3).sqrt().mean().item()
        positive = sum(value > 0 for value in stage.flatten().tolist()) / stage.numel()
        assert row['spread'] == pytest.approx(deviation, abs=1e-4)
        assert row['positive'] == pytest.approx(positive, abs=1e-4)


@pytest.mark.slow
def test_fresh_depthwise_blocks_lose_the_labels_where_bottlenecks_keep_them():
    torch.manual_seed(0)
    rows = {(row['block'], row['depth']): row['lost']
            for row in load_tool('toy/lseg_statistics.py').of_fresh_blocks(torch.randn(1, 5, 8, 8))}
    assert rows['depthwise', 1] == rows['bottleneck', 1] == 0
    assert rows['depthwise', 4] > rows['depthwise', 2]
    assert rows['depthwise', 4] > rows['bottleneck', 4]


def test_the_plot_shows_both_blocks(tmp_path):
    plot = load_tool('toy/lseg_plot.py')
    results = [dict(block=block, depth=depth, mIoU_S=40. + depth)
               for block in plot.COLOURS for depth in (0, 1, 2, 4)] + [dict(block=None, depth=0, mIoU_S=60.)]
    trained = [dict(state='trained', seed=0, block=block, depth=4, application=i, spread=5. / (i + 1), positive=0.5)
               for block in plot.COLOURS for i in range(5)]
    fresh = [dict(state='fresh', seed=0, block=block, depth=depth, lost=0.1 * depth)
             for block in plot.COLOURS for depth in (1, 2, 4)]
    plot.draw(results, trained + fresh, tmp_path / 'new' / 'plot.png')
    pixels = (255 * imread(tmp_path / 'new' / 'plot.png')[..., :3]).round().astype(int)
    assert pixels.shape[1] > 2.5 * pixels.shape[0]
    for colour in plot.COLOURS.values():
        channels = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
        assert ((pixels == channels).all(axis=2).sum(axis=0) > 0).reshape(3, -1).any(axis=1).all()  # in each panel


@pytest.mark.slow
def test_lseg_learns_the_seen_classes(tmp_path):
    lseg = load_tool('toy/lseg.py')
    metrics = lseg.run(lseg.DEPTH_0, 0, tmp_path)
    statistics = json.loads((tmp_path / '1_0/statistics.json').read_text())
    assert metrics['mIoU_S'] > 40
    assert {one['state'] for one in statistics} == {'trained', 'fresh'}

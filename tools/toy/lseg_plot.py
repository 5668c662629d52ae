"""Plot of the toy ablation of LSeg's spatial regularization."""
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

COLOURS = dict(depthwise='#0072b2', bottleneck='#d55e00')  # safe for colour-blind readers
DEPTHS = (1, 2, 4)


def draw(results: Sequence[dict], statistics: Sequence[dict], path: Path) -> None:
    """Draw mIoU(S) against depth, the score spread in four trained blocks, and the share of dead fresh blocks.

    Args:
        results: ``block``, ``depth`` and ``mIoU_S`` of each run; ``block`` is None without regularization.
        statistics: Rows of ``lseg_statistics``, with ``state`` and ``seed``.
        path: PNG file.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout='constrained')
    _ablation(axes[0], results)
    _spread(axes[1], [one for one in statistics if one['state'] == 'trained' and one['depth'] == max(DEPTHS)])
    _fresh(axes[2], [one for one in statistics if one['state'] == 'fresh'])
    for axis in axes:
        axis.spines[['top', 'right']].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _ablation(axis, results: Sequence[dict]) -> None:
    bare = [one['mIoU_S'] for one in results if one['block'] and one['depth'] == 0]
    for block, colour in COLOURS.items():
        values = {0: bare, **{depth: [one['mIoU_S'] for one in results
                                      if (one['block'], one['depth']) == (block, depth)]
                              for depth in DEPTHS}}
        axis.plot(list(values), [mean(runs) for runs in values.values()], color=colour, label=block)
        for depth, runs in values.items():
            axis.scatter([depth] * len(runs), runs, color=colour, s=14)
    axis.set(title='Toy world, seen classes', xlabel='depth (dots are seeds)', ylabel='mIoU(S) in %',
             xticks=(0, *DEPTHS), ylim=(0, None))


def _spread(axis, rows: Sequence[dict]) -> None:
    for block, colour in COLOURS.items():
        for number, seed in enumerate(sorted({one['seed'] for one in rows})):
            own = [one for one in rows if (one['block'], one['seed']) == (block, seed)]
            axis.plot([one['application'] for one in own], [max(one['spread'], 1e-4) for one in own], color=colour,
                      marker='o', markersize=3, label=None if number else block)
    axis.set(title='Four trained blocks (a line is a seed)', xlabel='blocks applied', ylabel='spread over the labels',
             yscale='log', xticks=range(max(DEPTHS) + 1))


def _fresh(axis, rows: Sequence[dict]) -> None:
    for offset, (block, colour) in zip((-0.2, 0.2), COLOURS.items()):
        shares = [100 * mean(one['lost'] for one in rows if (one['block'], one['depth']) == (block, depth))
                  for depth in DEPTHS]
        axis.bar([place + offset for place in range(len(DEPTHS))], shares, 0.4, color=colour, label=block)
    axis.set(title='Fresh blocks that lose all labels', xlabel='depth', ylabel='% of 1000 random weights',
             xticks=range(len(DEPTHS)), xticklabels=DEPTHS)

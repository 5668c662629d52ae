"""Training curves of one or several runs in one picture."""
from collections.abc import Sequence

import numpy as np

from mmseg_mvp.errors import UserError

from .charts import RULE, grid, new_figure, to_array, words
from .palette import distinct_colours
from .scalars import Curve, is_loss

TITLES = dict(mIoU_S='mIoU(S) in %', mIoU_U='mIoU(U) in %', hIoU='hIoU in %', mIoU='mIoU in %', FBIoU='FB-IoU in %')


def draw_curves(runs: dict[str, dict[str, Curve]], keys: Sequence[str]) -> np.ndarray:
    """Draw a panel for each quantity in ``keys``, with a line for each run: RGB, (H', W', 3) uint8.

    ``runs`` is the result of :func:`mmseg_mvp.visualization.scalars.read_runs`. A single value is a dot.

    Raises:
        UserError: If ``keys`` is empty, or a quantity is in no run.
    """
    known = dict.fromkeys(key for curves in runs.values() for key in curves)
    missing = [key for key in keys if key not in known]
    if missing or not keys:
        raise UserError(f'The logs hold no values of {", ".join(missing) or "any loss or metric"}: expected some of '
                        f'{", ".join(known)}.')
    rows, columns = grid(len(keys))
    figure = new_figure(max(3.1 * columns, 4), 2.5 * rows + 0.25 * -(-len(runs) // columns))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axis, key in zip(axes, keys):
        _panel(axis, [curves.get(key, {}) for curves in runs.values()], key)
    for axis in axes[len(keys):]:
        axis.set_axis_off()
    _legend(figure, axes[0].get_lines(), list(runs), columns)
    return to_array(figure)


def _panel(axis, curves: Sequence[Curve], key: str) -> None:
    for curve, colour in zip(curves, distinct_colours(len(curves))):
        axis.plot(list(curve), list(curve.values()), color=colour / 255, linewidth=1.4,
                  marker='o' if len(curve) < 2 or not is_loss(key) else None, markersize=4)
    axis.set_title(TITLES.get(key, key), fontsize=10)
    axis.set_xlabel('iteration', fontsize=9)
    axis.tick_params(labelsize=8, labelbottom=True)
    axis.grid(color=RULE, linewidth=0.6)
    axis.spines[['top', 'right']].set_visible(False)


def _legend(figure, lines: Sequence, names: Sequence[str], columns: int) -> None:
    texts, styles = zip(*map(words, names))
    legend = figure.legend(lines, texts, loc='outside lower left', ncols=columns, frameon=False, fontsize=9)
    for text, style in zip(legend.get_texts(), styles):
        text.set(**style)

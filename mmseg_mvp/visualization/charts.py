"""Charts by matplotlib: maps of each prompt, and presence of each name in the image."""
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from .fonts import drawable
from .legend import shortened
from .palette import distinct_colours

COLUMNS = 5  # panels per row
DPI = 110
BAR, RULE = '#0072b2', '#d9d9d9'


def draw_views(image: np.ndarray, maps: np.ndarray, name: str, titles: Sequence[str] | None = None,
               winners: np.ndarray | None = None) -> np.ndarray:
    """Draw the maps of one class under several prompts beside the image, with one colour scale.

    Args:
        image (np.ndarray): RGB, (H, W, 3) uint8.
        maps (np.ndarray): Scores of the class under each prompt, ``m_1 .. m_k``, (k, h, w), over the whole image.
        name (str): Class name.
        titles (Sequence[str], optional): Titles of the maps; None numbers the prompts.
        winners (np.ndarray, optional): Index of the map with the highest score at pixels of the class, -1 elsewhere,
            (h, w) integers. It adds a panel.

    Returns:
        np.ndarray: RGB, (H', W', 3) uint8. The colour map (viridis) is perceptually uniform.

    Raises:
        UserError: If image or maps have a wrong shape or type, a map is not finite, or the number of titles differs.
    """
    image, maps = np.asarray(image), _numbers('draw_views', maps)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size or image.dtype != np.uint8:
        raise UserError(f'draw_views got an image of shape {image.shape} and type {image.dtype}: expected (H, W, 3) '
                        f'uint8.')
    if maps.ndim != 3 or not maps.size:
        raise UserError(f'draw_views got maps of shape {maps.shape}: expected (k, h, w) with a map for each prompt.')
    titles = [f'prompt {1 + view}' for view in range(len(maps))] if titles is None else list(titles)
    if len(titles) != len(maps):
        raise UserError(f'draw_views got {len(titles)} titles for {len(maps)} maps: give one for each.')
    rows, columns = grid(1 + len(maps) + (winners is not None))
    height, width = image.shape[:2]
    side = 2.6 * min(max(height / width, 0.4), 2.5)  # inches
    legend = 0 if winners is None else 0.18 * len(np.unique(winners[winners >= 0])) + 0.1  # inches below the last panel
    figure = new_figure(2.6 * columns + 0.8, (side + 0.35) * rows + 0.6 + legend)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    axes[0].imshow(image)
    axes[0].set_title('image', fontsize=10)
    limits = dict(vmin=maps.min(), vmax=maps.max(), cmap='viridis', extent=(0, width, height, 0))
    for axis, one, title in zip(axes[1:], maps, titles):
        heat = axis.imshow(one, interpolation='bilinear', **limits)
        text, style = words(title)
        axis.set_title(text, fontsize=10, **style)
    if winners is not None:
        _draw_winners(axes[1 + len(maps)], winners, titles, (0, width, height, 0))
    figure.colorbar(heat, ax=list(axes), fraction=0.03, pad=0.01, label='cosine')
    text, style = words(name)
    figure.suptitle(text, fontsize=12, **style)
    return to_array(figure)


def _draw_winners(axis, winners: np.ndarray, titles: Sequence[str], extent: tuple[int, int, int, int]) -> None:
    """Draw indices of maps (h, w), -1 in grey, each in a colour of its own, with the share of each in a legend."""
    from matplotlib.patches import Patch

    colours = distinct_colours(len(titles))
    axis.imshow(np.where((winners < 0)[..., None], 235, colours[winners]).astype(np.uint8), extent=extent,
                interpolation='nearest')
    axis.set_title('highest score', fontsize=10)
    indices, counts = np.unique(winners[winners >= 0], return_counts=True)
    handles = [Patch(color=colours[index] / 255, label=f'{words(titles[index])[0]}: {100 * count / counts.sum():.0f} %')
               for index, count in zip(indices, counts)]
    axis.legend(handles=handles, loc='upper center', bbox_to_anchor=(0.5, 0), fontsize=7, frameon=False)


def draw_presence(names: Sequence[str], scores: Sequence[float], top: int = 20) -> np.ndarray:
    """Draw the presence of each name in the image as bars, highest first.

    Args:
        names (Sequence[str]): Names of the N classes.
        scores (Sequence[float]): GPR's ``g`` of each class, 0 to 1, (N,).
        top (int): Largest number of bars.

    Returns:
        np.ndarray: RGB, (H', W', 3) uint8.

    Raises:
        UserError: If ``names`` is empty, the number of scores differs, a score is not in 0 to 1, or ``top`` is not a
            positive integer.
    """
    names, scores = list(names or ()), _numbers('draw_presence', scores)
    check_number('The top of draw_presence', top, least=1, whole=True)
    if scores.shape != (len(names),) or not names:
        raise UserError(f'draw_presence got {len(names)} names and scores of shape {scores.shape}: expected a score '
                        f'for each name, and at least one bar.')
    if scores.min() < 0 or scores.max() > 1:
        raise UserError(f'draw_presence got scores from {scores.min()} to {scores.max()}: expected them between 0 and '
                        f'1, as GPR gives them.')
    order = np.argsort(-scores, kind='stable')[:top]
    texts, styles = zip(*(words(names[index]) for index in order))
    figure = new_figure(5 + 0.08 * max(map(len, texts)), 0.9 + 0.26 * len(order))
    axis = figure.subplots()
    _bars(axis, texts, styles, scores[order])
    rest = f', the first {len(order)} of {len(names)}' * (len(order) < len(names))
    axis.set_xlabel(f'how likely the name is in the image: g of GPR{rest}')
    return to_array(figure)


def _bars(axis, texts: Sequence[str], styles: Sequence[dict], scores: np.ndarray) -> None:
    """Draw a bar for each score (n,), from top to bottom, with its name on the left and its value on the right."""
    places = np.arange(len(scores))
    axis.barh(places, scores, height=0.7, color=BAR, zorder=2)
    for place, score in zip(places, scores):
        axis.text(score + 0.01, place, f'{score:.2f}', va='center', fontsize=8)
    axis.set_yticks(places, texts)
    for tick, style in zip(axis.get_yticklabels(), styles):
        tick.set(**style)
    axis.set(xlim=(0, 1.08), ylim=(len(scores) - 0.4, -0.6), xticks=np.linspace(0, 1, 6))
    axis.tick_params(left=False)
    axis.spines[['top', 'right', 'left']].set_visible(False)
    axis.grid(axis='x', color=RULE, zorder=0)


def _numbers(kind: str, values: object) -> np.ndarray:
    """Convert values to a float64 array. Raise UserError if they are not finite numbers."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f'{kind} got a {type(values).__name__} that is not an array of numbers: give an array of '
                        'numbers.') from error
    if not np.isfinite(array).all():
        raise UserError(f'{kind} got values that are not finite: check the weights of the model.')
    return array


def grid(count: int) -> tuple[int, int]:
    """Return rows and columns for ``count`` panels: as few rows as possible, filled evenly."""
    rows = -(-count // COLUMNS)
    return rows, -(-count // rows)


def words(text: str) -> tuple[str, dict]:
    """Prepare text for matplotlib: the text to write and the keyword arguments of its artist."""
    text, path = drawable(shortened(str(text)))
    return text, dict(font=Path(path), parse_math=False)


def new_figure(width: float, height: float):
    """Create a matplotlib figure of a size in inches, independent of pyplot."""
    from matplotlib.figure import Figure  # slow import (0.5 s)

    return Figure((width, height), dpi=DPI, layout='constrained')


def to_array(figure) -> np.ndarray:
    """Return the pixels of a figure, RGB, (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()

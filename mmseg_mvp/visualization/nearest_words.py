"""Nearest words of learned context vectors as a picture, a Markdown table or CSV rows."""
from collections.abc import Iterator, Sequence

import numpy as np

from .charts import new_figure, to_array, words

Nearest = Sequence[Sequence[Sequence[tuple[str, float]]]]  # prompts, vectors, pairs of word and distance


def draw_nearest_words(nearest: Nearest, titles: Sequence[str]) -> np.ndarray:
    """Draw the nearest word of each context vector (row) of each prompt (column): RGB, (H', W', 3) uint8.

    ``nearest`` is the result of :func:`mmseg_mvp.models.text.nearest_words`. Darker cells have larger distances.
    """
    distances = np.array([[vector[0][1] for vector in prompt] for prompt in nearest]).T
    figure = new_figure(1.0 + 1.9 * len(nearest), 1.0 + 0.27 * len(distances))
    axis = figure.subplots()
    axis.imshow(distances, aspect='auto', cmap='Blues', vmin=distances.min(), vmax=2 * distances.max())
    for column, prompt in enumerate(nearest):
        for row, ((word, distance), *_) in enumerate(prompt):
            text, style = words(word)
            axis.text(column - 0.42, row, text, va='center', fontsize=9, **style)
            axis.text(column + 0.42, row, f'{distance:.2f}', va='center', ha='right', fontsize=8, color='#505050')
    axis.set_xticks(range(len(titles)), titles, fontsize=10)
    axis.set_yticks(range(len(distances)), [f'v{1 + row}' for row in range(len(distances))], fontsize=9)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.vlines(np.arange(1, len(titles)) - 0.5, -0.5, len(distances) - 0.5, color='white', linewidth=8)
    axis.set_xlabel('the word nearest to each context vector, and its distance', fontsize=9)
    axis.spines[:].set_visible(False)
    return to_array(figure)


def table_rows(nearest: Nearest, titles: Sequence[str]) -> Iterator[dict]:
    """Generate a row for each word: ``prompt``, ``vector`` and ``rank`` (from 1), ``word``, ``distance``."""
    for title, prompt in zip(titles, nearest):
        for vector, found in enumerate(prompt, 1):
            for rank, (word, distance) in enumerate(found, 1):
                yield dict(prompt=title, vector=vector, rank=rank, word=word, distance=round(distance, 4))


def markdown_table(nearest: Nearest, titles: Sequence[str]) -> str:
    """Return a Markdown table with all words and distances of each context vector (row) of each prompt (column)."""
    lines = [f'| vector | {" | ".join(titles)} |', f'|---|{"---|" * len(titles)}']
    for number, vectors in enumerate(zip(*nearest), 1):
        cells = (', '.join(f'{_cell(word)} ({distance:.3f})' for word, distance in found) for found in vectors)
        lines.append(f'| v{number} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _cell(word: str) -> str:
    return ''.join(f'\\{one}' if one in '\\|`*_<>[]' else one for one in word)

"""Nearest words of learned context vectors as a Markdown table or CSV rows."""
from collections.abc import Iterator, Sequence

Nearest = Sequence[Sequence[Sequence[tuple[str, float]]]]  # prompts, vectors, pairs of word and distance


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

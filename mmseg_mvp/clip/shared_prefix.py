"""Exact evaluation of sentences with a shared prefix by a causal text tower.

The sentences of a prompt are ``[start, v_1 .. v_M | name . end | padding]``. Three facts save work:

- Tokens after the end token have no effect, because attention is causal.
- Keys and values of start token and contexts are equal for all names, so each prompt computes them once.
- The last block is needed for the end token only.

Name tokens attend to the keys of their prompt and to their own keys, with one softmax over both score blocks. Names of
similar length form a batch. Only their attention is padded; linear layers take the tokens of all names in one row.
"""
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .attention import attend, finish, projections

# Tokens times prompts per chunk, by device type; small enough for a CPU's cache, large enough to occupy a GPU.
ROWS = dict(cpu=512, other=16384)
# Bytes of activations stored for the backward pass; further chunks are recomputed there.
KEPT = dict(cpu=2**30, other=2**32)
# Stored values per token and block, in units of the width: inputs of both norms, q, k, v, scores, MLP (2 x 4).
KEPT_OF_A_TOKEN = 18
# Most tokens of padding in a chunk; beyond that, a new chunk costs less.
PADDING = 32

Past = list[tuple[Tensor, Tensor]]


def encode(text, contexts: Tensor, tokens: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
           ) -> Tensor:
    """Embed S names under prompts (P, M, width), see :func:`mmseg_mvp.clip.encode_prompts`: (P, S, D).

    The tower must be causal, pool at the end token, and consist of open_clip's ``ResidualAttentionBlock``.
    """
    past = _prefix(text, contexts)
    order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
    device = 'cpu' if contexts.device.type == 'cpu' else 'other'
    room = KEPT[device] if past[0][0].requires_grad else 0
    embeddings = []
    for chunk in _chunks([len(tokens[index]) + 1 for index in order], ROWS[device] // len(contexts)):
        names = [tokens[index] for index in order[chunk]]
        rows = len(contexts) * len(names) * (len(names[-1]) + 1)
        room -= rows * len(past) * KEPT_OF_A_TOKEN * text.width * contexts.element_size()
        again = past[0][0].requires_grad and room < 0
        embeddings.append(
            checkpoint(_suffixes, text, names, past, use_reentrant=False, preserve_rng_state=False)
            if again else _suffixes(text, names, past))
        if progress:
            progress(len(contexts) * len(names))
    position = torch.tensor(order, device=contexts.device).argsort()
    return torch.cat(embeddings, dim=1)[:, position]


def _chunks(lengths: Sequence[int], room: int) -> Iterator[slice]:
    """Split ascending lengths into chunks of at most ``room`` tokens, of these at most ``PADDING`` padding.

    A chunk has at least one name, even if it exceeds ``room``.
    """
    start = total = 0
    for index, length in enumerate(lengths):
        size = (index + 1 - start) * length
        if index > start and (size > room or size - total - length > PADDING):
            yield slice(start, index)
            start, total = index, 0
        total += length
    yield slice(start, len(lengths))


def _prefix(text, contexts: Tensor) -> Past:
    """Return keys and values of start tokens and contexts for every block, (P, heads, m, width/heads) each."""
    first = text.embed(torch.tensor(text.tokenizer.start, dtype=torch.long, device=contexts.device))
    x = torch.cat([first.expand(len(contexts), -1, -1), contexts], dim=1)  # (P, m, width)
    x = x + text.positional_embedding[:x.shape[1]]
    past = []
    for block in text.blocks:
        query, key, value = projections(block, x)
        past.append((key.transpose(1, 2), value.transpose(1, 2)))
        if block is not text.blocks[-1]:
            x = finish(block, x, attend(query, key, value, causal=True))
    return past


def _suffixes(text, names: Sequence[Sequence[int]], past: Past) -> Tensor:
    """Embed S names after P prefixes: (P, S, D). Only attention pads the names, to the longest; all else is packed."""
    device, (prompts, _, start, _) = past[0][0].device, past[0][0].shape
    ids = torch.tensor([token for ids in names for token in (*ids, text.tokenizer.end[0])], device=device)
    tokens, kept, columns, ends = _packing([len(ids) + 1 for ids in names], device)
    x = (text.embed(ids) + text.positional_embedding[start + columns]).expand(prompts, -1, -1)  # (P, T, width)
    for block, before in zip(text.blocks[:-1], past):
        padded = (part[:, tokens] for part in projections(block, x))  # each (P, T, heads, d) to (P, S, n, heads, d)
        x = finish(block, x, _attend_to_prefix(*padded, *before).flatten(1, 2)[:, kept])
    # The last block needs a single query per name: the end token.
    block = text.blocks[-1]
    query, key, value = projections(block, x)
    attended = _attend_to_prefix(query[:, ends].unsqueeze(2), key[:, tokens], value[:, tokens], *past[-1],
                                 ends=columns[ends])
    x = finish(block, x[:, ends], attended[:, :, 0])  # (P, S, width)
    return text.project(text.ln_final(x))


def _packing(lengths: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Index the T tokens of S names of given lengths, packed in a row, and padded to the longest, n.

    Returns:
        tuple[Tensor, Tensor, Tensor, Tensor]: Of each padded place its token, (S, n), with the name's first token as
        padding; of each token its place in the flattened padding, (T,), and its place in the name, (T,); the last token
        of each name, (S,).
    """
    longest, places = max(lengths), [range(length) for length in lengths]
    starts = list(itertools.accumulate(lengths, initial=0))
    tokens = [[start + (column if column < length else 0) for column in range(longest)]
              for start, length in zip(starts, lengths)]
    kept = [name * longest + column for name, columns in enumerate(places) for column in columns]
    columns = list(itertools.chain.from_iterable(places))
    last = [start - 1 for start in starts[1:]]
    return tuple(torch.tensor(part, device=device) for part in (tokens, kept, columns, last))


def _attend_to_prefix(query: Tensor, key: Tensor, value: Tensor, past_key: Tensor, past_value: Tensor,
                      ends: Tensor | None = None) -> Tensor:
    """Attend from names to their prompt and, causally, to themselves: (P, S, R, heads, d).

    Queries are (P, S, R, heads, d), with R = n, or R = 1 at the positions ``ends``, (S,). Keys and values of names are
    (P, S, n, heads, d), and keys and values of prompts are (P, heads, m, d).
    """
    query, key, value = (part.permute(0, 3, 1, 2, 4) for part in (query, key, value))  # (P, heads, S, R or n, d)
    query = query * query.shape[-1]**-0.5
    columns = torch.arange(key.shape[3], device=key.device)
    last = columns[:, None] if ends is None else ends[:, None, None]
    own = (query @ key.mT).masked_fill(columns > last, float('-inf'))  # (P, heads, S, R, n)
    grid, length = query.shape[2:4], past_key.shape[2]
    before = (query.flatten(2, 3) @ past_key.mT).unflatten(2, grid)  # (P, heads, S, R, m)
    weights = torch.cat([before, own], dim=-1).softmax(dim=-1)
    attended = (weights[..., :length].flatten(2, 3) @ past_value).unflatten(2, grid) + weights[..., length:] @ value
    return attended.permute(0, 2, 3, 1, 4)

"""The exact evaluation of sentences that share their beginning, by a causal text tower.

A prompt's sentences are ``[start, v_1 .. v_M | name . end | padding]``. Causality makes most of the tower's work on
them redundant: nothing after the end token matters; start and contexts have the same keys and values for all names, so
they are computed once per prompt; of the last block only the end token is needed. What remains are the few tokens of
each name, which attend to the prompt's keys and to their own: two score blocks under one softmax. Names of like length
are batched, so little is padded.
"""
from collections.abc import Callable, Iterator, Sequence

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

# Tokens (times prompts) evaluated at once, by device: enough to fill it, few enough for a CPU's cache.
ROWS = dict(cpu=512, other=16384)
# Bytes of activations kept for the backward pass; the chunks beyond are computed again there.
KEPT = dict(cpu=2**30, other=2**32)
# What a block keeps of a token, in units of the width: inputs of both norms, q, k, v, scores, twice the MLP's 4.
KEPT_OF_A_TOKEN = 18
# Tokens of padding that a chunk may have before a new one is worth its overhead.
PADDING = 32

Past = list[tuple[Tensor, Tensor]]


def encode(text, contexts: Tensor, tokens: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
           ) -> Tensor:
    """Embed every name under every prompt.

    Args:
        text (TextTower): A tower of open_clip's ``ResidualAttentionBlock``, causal, pooled at the end token.
        contexts (Tensor): Context vectors of P prompts, (P, M, width); M may be 0.
        tokens (Sequence[Sequence[int]]): Token ids of S names, without start and end token.
        progress (Callable, optional): Told the number of sentences after each chunk.

    Returns:
        Tensor: Embeddings, not normalised, (P, S, D); differentiable in the contexts.
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
    """Cut ascending lengths into runs of at most ``room`` tokens that hold little padding."""
    start = total = 0
    for index, length in enumerate(lengths):
        size = (index + 1 - start) * length
        if index > start and (size > room or size - total - length > PADDING):
            yield slice(start, index)
            start, total = index, 0
        total += length
    yield slice(start, len(lengths))


def _prefix(text, contexts: Tensor) -> Past:
    """Keys and values of start and contexts in every block, (P, heads, M+1, width/heads) each."""
    first = text.embed(torch.tensor([text.tokenizer.sot_token_id], device=contexts.device))
    x = torch.cat([first.expand(len(contexts), 1, -1), contexts], dim=1)
    x = x + text.positional_embedding[:x.shape[1]]
    past = []
    for block in text.blocks:
        query, key, value = (part.transpose(1, 2) for part in _projections(block, x))
        past.append((key, value))
        if block is not text.blocks[-1]:
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = _finish(block, x, attended.transpose(1, 2))
    return past


def _suffixes(text, names: Sequence[Sequence[int]], past: Past) -> Tensor:
    """Embed S names, given in ascending length and padded to the longest, after P prefixes: (P, S, D)."""
    device, (prompts, _, length, _) = past[0][0].device, past[0][0].shape
    longest, end = len(names[-1]) + 1, text.tokenizer.eot_token_id
    ids = torch.tensor([[*ids, end] + [0] * (longest - len(ids) - 1) for ids in names], device=device)
    x = (text.embed(ids) + text.positional_embedding[length:length + longest]).expand(prompts, -1, -1, -1)
    for block, before in zip(text.blocks[:-1], past):
        x = _finish(block, x, _attend(*_projections(block, x), *before))
    # After the last block only the end token is wanted: the one query whose past is whole.
    block, ends = text.blocks[-1], torch.tensor([len(ids) for ids in names], device=device)
    query, key, value = _projections(block, x)
    rows = torch.arange(len(names), device=device)
    query, x = query[:, rows, ends].unsqueeze(2), x[:, rows, ends].unsqueeze(2)
    x = _finish(block, x, _attend(query, key, value, *past[-1], ends=ends))
    return text.project(text.ln_final(x[:, :, 0]))


def _attend(query: Tensor, key: Tensor, value: Tensor, past_key: Tensor, past_value: Tensor,
            ends: Tensor | None = None) -> Tensor:
    """Attention of names to their prompt and, causally, to themselves.

    Args:
        query (Tensor): (P, S, R, heads, d); R is n, or 1 for the query at each name's end.
        key (Tensor): (P, S, n, heads, d).
        value (Tensor): (P, S, n, heads, d).
        past_key (Tensor): The prompt's keys, (P, heads, m, d).
        past_value (Tensor): The prompt's values, (P, heads, m, d).
        ends (Tensor, optional): Positions (S,) of the queries, if R is 1.

    Returns:
        Tensor: (P, S, R, heads, d).
    """
    query, key, value = (part.permute(0, 3, 1, 2, 4) for part in (query, key, value))
    query = query * query.shape[-1]**-0.5
    columns = torch.arange(key.shape[3], device=key.device)
    last = columns[:, None] if ends is None else ends[:, None, None]
    own = (query @ key.mT).masked_fill(columns > last, float('-inf'))
    grid, length = query.shape[2:4], past_key.shape[2]
    before = (query.flatten(2, 3) @ past_key.mT).unflatten(2, grid)
    weights = torch.cat([before, own], dim=-1).softmax(dim=-1)
    attended = (weights[..., :length].flatten(2, 3) @ past_value).unflatten(2, grid) + weights[..., length:] @ value
    return attended.permute(0, 2, 3, 1, 4)


def _projections(block: ResidualAttentionBlock, x: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values (..., heads, d) of a block's input (..., width)."""
    attention = block.attn
    x = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    return x.unflatten(-1, (3, attention.num_heads, -1)).unbind(-3)


def _finish(block: ResidualAttentionBlock, x: Tensor, attended: Tensor) -> Tensor:
    """A block after its attention: output projection, residual, MLP; (..., width)."""
    x = x + block.ls_1(block.attn.out_proj(attended.flatten(-2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))

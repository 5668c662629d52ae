"""Shared prefix, compared with open_clip's forward pass: embeddings, gradients, chunks, precision."""
import pytest
import torch
from fixtures.clip_builders import open_clip_model, with_model
from fixtures.lanes import CPU_FLOAT16

from mmseg_mvp.clip import Frozen, TextTower, encode_prompts, shared_prefix
from mmseg_mvp.clip.text_tower import encode_in_full

LISTS = {
    'one class': ['cat'],
    'one length': ['cat', 'dog', 'cow'],
    'many lengths': ['cat', 'traffic light', 'television receiver', 'door', 'a b c d e f g h', 'swivel chair', 'cat'],
    'the longest that fits': ['cat', 'cat ' * 57, 'dog'],  # 77 minus start, end, "." and 16 context vectors is 58
}


def build_tower(tiny_rn, dtype=torch.float64, **text):
    torch.manual_seed(0)
    return Frozen(TextTower(with_model(tiny_rn, open_clip_model(tiny_rn, **text).to(dtype))))


def both(tower, contexts, names):
    """Yield embeddings and gradients of the contexts, with shared prefix and by open_clip."""
    tokens = [tower.module.tokenize(f'{name.strip()}.') for name in names]
    weight = torch.randn(len(contexts), len(names), tower.module.embed_dim, dtype=contexts.dtype)
    for encode in (encode_prompts, lambda tower, *args: encode_in_full(tower.module, *args)):
        x = contexts.clone().requires_grad_()
        embeddings = encode(tower, x, tokens)
        yield embeddings.detach(), *torch.autograd.grad((embeddings * weight).sum(), x)


def close(ours, theirs, tolerance):
    return all((a - b).abs().max() <= tolerance * b.abs().max() for a, b in zip(ours, theirs))


@pytest.mark.parametrize('names', LISTS.values(), ids=LISTS)
@pytest.mark.parametrize('prompts, length', [(1, 16), (2, 4), (4, 1), (4, 16)])
@pytest.mark.parametrize('dtype, tolerance', [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_embeddings_and_gradients_are_open_clips(tiny_rn, names, prompts, length, dtype, tolerance):
    tower = build_tower(tiny_rn, dtype)
    assert tower.module.shared
    assert close(*both(tower, torch.randn(prompts, length, tower.module.width, dtype=dtype), names), tolerance)


@pytest.mark.parametrize('text', [dict(width=96, heads=3, layers=1), dict(width=64, heads=1, layers=5),
                                  dict(width=128, heads=8, layers=3)], ids=str)
def test_other_widths_heads_and_depths(tiny_rn, text):
    tower = build_tower(tiny_rn, **text)
    contexts = torch.randn(3, 5, text['width'], dtype=torch.float64)
    assert close(*both(tower, contexts, LISTS['many lengths']), 1e-12)


@pytest.mark.parametrize('kept', [2**30, 30_000, 0], ids=['all kept', 'some recomputed', 'all recomputed'])
@pytest.mark.parametrize('rows', [1, 12, 100])
def test_chunks_and_recomputation_change_nothing(tiny_rn, monkeypatch, rows, kept):
    tower = build_tower(tiny_rn)
    contexts = torch.randn(2, 3, tower.module.width, dtype=torch.float64)
    monkeypatch.setitem(shared_prefix.ROWS, 'cpu', rows)
    monkeypatch.setitem(shared_prefix.KEPT, 'cpu', kept)
    calls = []
    recompute = shared_prefix.checkpoint
    monkeypatch.setattr(shared_prefix, 'checkpoint',
                        lambda *args, **kwargs: calls.append(1) or recompute(*args, **kwargs))
    assert close(*both(tower, contexts, LISTS['many lengths']), 1e-12)
    assert bool(calls) is (kept < 2**30)
    with torch.no_grad():
        calls.clear()
        list(shared_prefix.encode(tower.module, contexts, [[1], [2, 3]]))
    assert not calls


def test_chunks_hold_like_lengths_and_little_padding():
    lengths = [3] * 119 + [4] * 28 + [5] * 3
    chunks = list(shared_prefix._chunks(lengths, 128))
    assert [lengths[i] for chunk in chunks for i in range(chunk.start, chunk.stop)] == lengths
    for chunk in chunks:
        size = (chunk.stop - chunk.start) * lengths[chunk.stop - 1]
        assert size <= 128 and size - sum(lengths[chunk]) <= shared_prefix.PADDING
    assert len(chunks) == 5  # 42 names of length 3 fit, which gives three; lengths 4 and 5 need two
    assert [chunk.stop - chunk.start for chunk in shared_prefix._chunks([200, 300], 128)] == [1, 1]


def test_progress_counts_every_sentence(tiny_rn, monkeypatch):
    tower, seen = build_tower(tiny_rn), []
    monkeypatch.setitem(shared_prefix.ROWS, 'cpu', 8)
    contexts = torch.randn(2, 3, tower.module.width, dtype=torch.float64)
    tokens = [tower.module.tokenize(name) for name in LISTS['many lengths']]
    for encode in (encode_prompts, lambda tower, *args: encode_in_full(tower.module, *args)):
        seen.clear()
        encode(tower, contexts, tokens, seen.append)
        assert sum(seen) == 2 * len(tokens) and len(seen) > 1


@pytest.mark.parametrize('dtype, error, cosine', [
    (torch.bfloat16, 0.03, 0.999), pytest.param(torch.float16, 0.004, 0.9999, marks=CPU_FLOAT16)])
def test_autocast_errs_as_the_precision_does(tiny_rn, dtype, error, cosine):
    tower = build_tower(tiny_rn, torch.float32)
    contexts = torch.randn(4, 8, tower.module.width)
    names = LISTS['many lengths']
    expected, gradient = list(both(tower, contexts, names))[1]
    torch.manual_seed(1)
    weight = torch.randn_like(expected)
    results = []
    for enabled in (True, False):
        x = contexts.clone().requires_grad_()
        with torch.autocast('cpu', dtype, enabled=enabled):
            embeddings = encode_prompts(tower, x, [tower.module.tokenize(f'{name}.') for name in names]).float()
        results.append(torch.autograd.grad((embeddings * weight).sum(), x)[0].flatten())
        assert (embeddings - expected).abs().max() <= (error if enabled else 1e-5) * expected.abs().max()
    assert torch.cosine_similarity(*results, dim=0) > cosine


@pytest.mark.slow
def test_torch_compile_gives_the_same(tiny_rn):
    tower = build_tower(tiny_rn)
    contexts = torch.randn(2, 3, tower.module.width, dtype=torch.float64)
    tokens = [tower.module.tokenize(name) for name in LISTS['many lengths']]
    results = []
    for encode in (torch.compile(shared_prefix.encode, backend='aot_eager'), shared_prefix.encode):
        x = contexts.clone().requires_grad_()
        embeddings = encode(tower.module, x, tokens)
        results.append((embeddings.detach(), *torch.autograd.grad(embeddings.square().sum(), x)))
    assert close(*results, 1e-12)

"""Text tower of ViT-B/16 in prompt learning: class names with k+1 prompts of M = 16 context vectors.

Forward and backward to the contexts has two peers: open_clip's pass over 77 tokens (as CoOp), and truncation alone.
Forward alone has mmseg's CLIPTextEncoder as peer.
"""
from collections.abc import Callable

import harness
import peers
import torch
from mmseg.utils import register_all_modules
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.clip import TextTower, encode_prompts, encode_sentences, load_clip
from mmseg_mvp.clip.text_tower import encode_in_full
from mmseg_mvp.vocabularies import class_names

CONTEXTS = 16
# Source of 847 names, with the lengths of ADE20K's and COCO-Stuff's.
MANY = (class_names('ade20k') + class_names('coco_stuff')) * 3


def training(encode: Callable, text: TextTower, contexts: Tensor, names: list[str], dtype: str) -> Callable:
    """Build a forward and backward run that returns embeddings (P, S, D) and the gradient of the contexts."""
    tokens = [text.tokenize(f'{name}.', taken=CONTEXTS) for name in names]
    torch.manual_seed(0)
    weight = torch.randn(len(contexts), len(names), text.embed_dim, device=contexts.device)

    def run() -> tuple[Tensor, Tensor]:
        leaf = contexts.clone().requires_grad_()
        with torch.autocast(leaf.device.type, getattr(torch, dtype), enabled=dtype != 'float32'):
            embeddings = encode(text, leaf, tokens).float()
        (embeddings * weight).sum().backward()
        return embeddings.detach(), leaf.grad
    return run


def compare_training(text: TextTower, count: int, prompts: int, args, peer: str, others: dict[str, Callable]) -> list:
    names = (class_names('ade20k') if count <= 150 else MANY)[:count]
    torch.manual_seed(0)
    contexts = 0.02 * torch.randn(prompts, CONTEXTS, text.width, device=args.device)
    variants = {name: encode and training(encode, text, contexts, names, args.dtype)
                for name, encode in {**others, 'ours': encode_prompts}.items()}
    case = f'C={count}, k+1={prompts}, M={CONTEXTS}'
    options = dict(harness.settings(args), repeats=1 if args.quick else min(args.repeats, 3))
    embedding_errors = []

    def error(found: tuple, expected: tuple) -> float:
        """Return the error of the gradients; the error of the embeddings gets a separate row."""
        embedding_errors.append(harness.relative_error(found[0], expected[0]))
        return harness.relative_error(found[1], expected[1])

    rows = harness.compare('text tower', case, variants, peer, error, **options)
    blank = dict.fromkeys(('seconds', 'speedup', 'peak_mib', 'memory_ratio'))
    return rows + [dict(row, claim='text tower, embeddings', **blank, error=found)
                   for row, found in zip(rows, embedding_errors)]


def compare_forward(clip, text: TextTower, names: list[str], args) -> list:
    """Compare one template without gradients, as at the start of a test."""
    template = 'a photo of a {}.'
    encoder = peers.mmseg_text_encoder(clip, names, template).to(args.device)
    tokens = [text.tokenize(template.format(name)) for name in names]

    @torch.no_grad()
    def ours() -> Tensor:
        with torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32'):
            return F.normalize(encode_sentences(text, tokens).float(), dim=-1)

    def theirs() -> Tensor:
        with torch.autocast(args.device, getattr(torch, args.dtype), enabled=args.dtype != 'float32'):
            return encoder.template_encode(names)

    return harness.compare('text tower, one template, forward', f'C={len(names)}',
                           {"mmseg's CLIPTextEncoder": theirs, 'ours': ours}, "mmseg's CLIPTextEncoder",
                           harness.relative_error, **harness.settings(args))


def main() -> None:
    args = harness.arguments(__doc__)
    register_all_modules()
    clip = load_clip('ViT-B-16-quickgelu')
    text = TextTower(clip).to(args.device)
    rows = []
    if not args.quick:  # first, with a fresh heap as in training; the peer does not fit in 24 GiB
        rows += compare_training(text, 847, 4, args, 'open_clip, 77 tokens', {'open_clip, 77 tokens': None})
    plain = {'open_clip, 77 tokens': encode_in_full, 'truncated': peers.encode_truncated}
    few, cases = (4, [(4, 1)]) if args.quick else (150, [(15, 4), (150, 4)])
    rows += compare_forward(clip, text, class_names('ade20k')[:few], args)
    for count, prompts in cases:
        rows += compare_training(text, count, prompts, args, 'open_clip, 77 tokens', plain)
        harness.save(rows, args)


if __name__ == '__main__':
    main()

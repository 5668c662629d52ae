"""Train the tiny CLIP of the toy world on pictures and captions alone; no mask is ever used.

    python tools/toy/train_clip.py --overwrite

writes the weights of the package in ten minutes on one free core. It has two losses. The first is CLIP's contrastive
loss between images and captions of whole scenes; an image may have several true captions. After --dense-from steps, the
second is added: the same loss with captions of objects, with a soft maximum over cells as the score of an image. This
loss aligns cells with names.
"""
import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.clip.building import SHIPPED, build_from_config, read_config
from mmseg_mvp.clip.compact_table import compact_state, keep_tokens
from mmseg_mvp.clip.templates import resolve_templates
from mmseg_mvp.clip.training import encode_cells, encode_text, pool_cells, project_cells
from mmseg_mvp.datasets.toy.captions import describe_object, describe_whole, grammar_words, object_facts, truth_table
from mmseg_mvp.datasets.toy.scenes import Scene, draw_scene

TEMPLATES = resolve_templates('maskclip')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', type=Path, default=SHIPPED / 'toy-rn.json', help='model config (JSON)')
    parser.add_argument('--out', type=Path, default=SHIPPED / 'toy-rn.safetensors', help='weights to write')
    parser.add_argument('--overwrite', action='store_true', help='overwrite existing weights')
    parser.add_argument('--steps', type=int, default=1900, help='training steps')
    parser.add_argument('--dense-from', type=int, default=200, help='first step with the loss on cells')
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--pictures', type=int, default=16384, help='number of drawn images to train on')
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (1 for the shipped weights)')
    return parser.parse_args()


class TokenTable:
    """Tokens of the caption grammar, renumbered. An embedding of CLIP's full vocabulary would only slow training.

    Args:
        context_length (int): Tokens per sentence.
    """

    def __init__(self, context_length: int) -> None:
        self.tokenizer = SimpleTokenizer(context_length=context_length)
        self.ids = self.tokenizer(grammar_words(TEMPLATES)).unique()

    def __call__(self, texts: list[str]) -> Tensor:
        """Tokenize texts to int64 (N, longest). The order of ids is kept, so the end token stays the largest."""
        tokens = self.tokenizer(texts)
        tokens = tokens[:, :int((tokens != 0).sum(1).max())].contiguous()
        return torch.searchsorted(self.ids, tokens)


def normalise(images: np.ndarray) -> Tensor:
    """Convert RGB uint8 (B, H, W, 3) to CLIP's float input (B, 3, H, W)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def contrast(scores: Tensor, truth: Tensor) -> Tensor:
    """Compute the contrastive loss with several positives.

    Args:
        scores (Tensor): Logits of images and captions (B, T).
        truth (Tensor): True if a caption is true of an image, bool (B, T).

    Returns:
        Tensor: Mean cross entropy over both directions, a scalar (). Targets are uniform over the true entries.
    """
    loss = 0.
    for logits, target in ((scores, truth.float()), (scores.T, truth.T.float())):
        used = target.sum(1) > 0
        target = target[used] / target[used].sum(1, keepdim=True)
        loss = loss + F.cross_entropy(logits[used], target) / 2
    return loss


def soft_maximum(cells: Tensor, texts: Tensor, sharpness: float = 10.) -> Tensor:
    """Compute log-mean-exp over cells of their cosine with texts: (B, D, h, w) and (T, D) to (B, T)."""
    cosine = torch.einsum('bdp,td->btp', F.normalize(cells, dim=1).flatten(2), texts)
    return (sharpness * cosine).logsumexp(-1).sub(np.log(cosine.shape[-1])) / sharpness


class Batches:
    """Infinite batches from a pool of images, with new captions in each batch.

    Args:
        scenes (list[Scene]): Pool of scenes.
        table (TokenTable): Tokenizer of the captions.
        size (int): Images per batch, B.
        seed (int): Seed for the choice of images and wordings.
    """

    def __init__(self, scenes: list[Scene], table: TokenTable, size: int, seed: int) -> None:
        self.scenes, self.table, self.size = scenes, table, size
        self.facts = [[object_facts(thing) for thing in scene.objects] for scene in scenes]
        self.rng = np.random.default_rng(seed)

    def draw(self) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Draw images (B, 3, H, W), then tokens (B, L) and truth (B, B) for scene captions and for object captions."""
        chosen = self.rng.choice(len(self.scenes), self.size, replace=False)
        scenes, facts = [self.scenes[i] for i in chosen], [self.facts[i] for i in chosen]
        of_wholes = [describe_whole(scene, self.rng, TEMPLATES) for scene in scenes]
        of_objects = [describe_object(scene.objects[self.rng.integers(len(scene.objects))], self.rng)
                      for scene in scenes]
        texts = [(self.table([caption.text for caption in captions]), torch.from_numpy(truth_table(captions, facts)))
                 for captions in (of_wholes, of_objects)]
        return normalise(np.stack([scene.image for scene in scenes])), texts


def losses(model: nn.Module, batch, with_cells: bool) -> Tensor:
    """Compute the loss of a batch: images against scene captions and, ``with_cells``, cells against object captions."""
    images, ((whole_tokens, whole_truth), (object_tokens, object_truth)) = batch
    with torch.autocast('cpu', torch.bfloat16):
        cells = encode_cells(model, images)
        wholes = encode_text(model, whole_tokens).float()
        objects = encode_text(model, object_tokens).float() if with_cells else None
    cells = cells.float()
    picture = F.normalize(pool_cells(model, cells), dim=-1)
    scale = model.logit_scale.exp().clamp(max=100)
    loss = contrast(scale * picture @ wholes.T, whole_truth)
    if not with_cells:
        return loss
    return (loss + contrast(scale * soft_maximum(project_cells(model, cells), objects), object_truth)) / 2


def train(model: nn.Module, batches: Batches, args: argparse.Namespace) -> None:
    """Train the model; print progress and the remaining time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=.05, betas=(.9, .98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=.1)
    start, running = time.time(), 0.
    for step in range(1, args.steps + 1):
        loss = losses(model, batches.draw(), step > args.dense_from)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % 50 == 0 or step == args.steps:
            spent = time.time() - start
            mean, scale = running / (step % 50 or 50), model.logit_scale.exp().item()
            print(f'step {step}/{args.steps}  loss {mean:.3f}  scale {scale:.1f}  '
                  f'{spent / 60:.1f} min, {spent / step * (args.steps - step) / 60:.1f} min left', flush=True)
            running = 0.


def draw_pool(count: int) -> list[Scene]:
    """Draw the scenes for training."""
    print(f'drawing {count} images', flush=True)
    return [draw_scene(index, 'pretrain') for index in range(count)]


def main() -> None:
    args = parse_args()
    if args.out.exists() and not args.overwrite:
        sys.exit(f'error: {args.out} exists and is not overwritten: name another file with --out, or add --overwrite.')
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    config = read_config(args.config)
    model = build_from_config(config).to(memory_format=torch.channels_last)
    table = TokenTable(config['text_cfg']['context_length'])
    keep_tokens(model, table.ids)
    train(model, Batches(draw_pool(args.pictures), table, args.batch_size, args.seed), args)
    save_file(compact_state(model, table.ids), args.out)
    args.out.chmod(0o644)  # safetensors writes files readable by the owner only
    print(f'wrote {args.out} ({args.out.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    main()

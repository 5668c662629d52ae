"""Train a tiny CLIP of the toy world on pictures and captions alone; no mask is ever used.

    python tools/toy/train_clip.py --overwrite

writes the weights of toy-rn, a ResNet, in some 15 minutes on one core with instructions for bfloat16. With --model
toy-vit, it trains a ViT to repeat the features of toy-rn, see distillation.py. The training of toy-rn has three losses.
The first is CLIP's contrastive loss between images and captions of whole scenes; an image may have several true
captions. After --dense-from steps, the second is added: the same loss with captions of objects, with a soft maximum
over cells as the score of an image. It aligns cells with names. After --focus-from steps, the maximum is sharper, and
every second batch has captions of four classes only, so that parts and colours decide. After --windows-from steps, the
third is added: the loss between windows of three by three cells and captions of the parts inside.
"""
import argparse
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from clip_data import TEMPLATES, TokenTable, normalise
from distillation import distil
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp import app
from mmseg_mvp.clip.building import SHIPPED, build_from_config, read_config
from mmseg_mvp.clip.compact_table import compact_state, keep_tokens
from mmseg_mvp.clip.training import encode_cells, encode_text, pool_cells, project_cells
from mmseg_mvp.datasets.toy.captions import Caption, describe_object, describe_whole, object_facts, truth_table
from mmseg_mvp.datasets.toy.scenes import CLASSES, Scene, draw_scene
from mmseg_mvp.datasets.toy.windows import Window, draw_window

DEFAULTS = {name: dict(out=SHIPPED / f'{name}.safetensors', steps=steps, batch_size=size)
            for name, steps, size in (('toy-rn', 3000, 64), ('toy-vit', 2500, 24))}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', choices=list(DEFAULTS), default='toy-rn', help='CLIP to train')
    parser.add_argument('--out', type=Path, help='weights to write (default: those of the package)')
    parser.add_argument('--overwrite', action='store_true', help='overwrite existing weights')
    parser.add_argument('--steps', type=int, help='training steps')
    parser.add_argument('--dense-from', type=int, default=200, help='steps before the loss on cells')
    parser.add_argument('--focus-from', type=int, default=1300, help='steps before batches of four classes')
    parser.add_argument('--windows-from', type=int, default=2600, help='steps before the loss on windows')
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--pictures', type=int, default=16384, help='number of drawn images to train on')
    parser.add_argument('--lr', type=float, default=2e-3)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (1 for the shipped weights)')
    args = parser.parse_args()
    for name, value in DEFAULTS[args.model].items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


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


def cut_windows(cells: Tensor, windows: list[Window], side: int = 3) -> Tensor:
    """Cut one window out of the cells of each image: (B, D, h, w) to (B, D, side, side)."""
    rows, columns = (torch.tensor(values) for values in ([window.row for window in windows],
                                                         [window.column for window in windows]))
    return cells.unfold(2, side, 1).unfold(3, side, 1)[torch.arange(len(cells)), :, rows, columns]


class Batch(NamedTuple):
    """Images and three sets of captions.

    Attributes:
        images (Tensor): Normalised images (B, 3, H, W).
        wholes (tuple[Tensor, Tensor]): Tokens of captions of scenes (B, L), and their truth for each image, bool
            (B, B).
        objects (tuple[Tensor, Tensor]): The same for captions of objects.
        parts (tuple[Tensor, Tensor]): Tokens of captions of windows, and their truth for each window.
        windows (list[Window]): One window per image.
    """
    images: Tensor
    wholes: tuple[Tensor, Tensor]
    objects: tuple[Tensor, Tensor]
    parts: tuple[Tensor, Tensor]
    windows: list[Window]


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
        self.shown = np.array([[name in (thing.name for thing in scene.objects) for name in CLASSES]
                               for scene in scenes])
        self.rng = np.random.default_rng(seed)

    def draw(self, num_classes: int = len(CLASSES)) -> Batch:
        """Draw a batch. Each image shows one of ``num_classes`` random classes, and captions of objects name them."""
        named = self.rng.permutation(len(CLASSES))[:num_classes]
        pool = np.flatnonzero(self.shown[:, named].any(1))
        chosen = self.rng.choice(pool, min(self.size, len(pool)), replace=False)
        scenes, facts = [self.scenes[i] for i in chosen], [self.facts[i] for i in chosen]
        wholes = [describe_whole(scene, self.rng, TEMPLATES) for scene in scenes]
        names = {CLASSES[i] for i in named}
        things = [[thing for thing in scene.objects if thing.name in names] for scene in scenes]
        objects = [describe_object(some[self.rng.integers(len(some))], self.rng) for some in things]
        windows = [draw_window(scene, self.rng) for scene in scenes]
        return Batch(normalise(np.stack([scene.image for scene in scenes])), self._texts(wholes, facts),
                     self._texts(objects, facts),
                     self._texts([window.caption for window in windows], [window.facts for window in windows]), windows)

    def _texts(self, captions: list[Caption], facts: list) -> tuple[Tensor, Tensor]:
        tokens = self.table([caption.text for caption in captions])
        return tokens, torch.from_numpy(truth_table(captions, facts))


def losses(model: nn.Module, batch: Batch, with_cells: bool, with_windows: bool, sharpness: float) -> Tensor:
    """Compute the mean of the losses of a batch, a scalar ().

    Args:
        model (nn.Module): The CLIP.
        batch (Batch): Images and captions.
        with_cells (bool): Contrast cells with captions of objects as well.
        with_windows (bool): Contrast windows with captions of their parts as well.
        sharpness (float): Sharpness of the soft maximum over cells.
    """
    with torch.autocast('cpu', torch.bfloat16):
        cells = encode_cells(model, batch.images)
    cells = cells.float()
    picture = F.normalize(pool_cells(model, cells), dim=-1)
    scale = model.logit_scale.exp().clamp(max=100)
    parts = [contrast(scale * picture @ encode_text(model, batch.wholes[0]).T, batch.wholes[1])]
    if with_cells or with_windows:
        dense = project_cells(model, cells)
    if with_cells:
        scores = soft_maximum(dense, encode_text(model, batch.objects[0]), sharpness)
        parts.append(contrast(scale * scores, batch.objects[1]))
    if with_windows:
        scores = soft_maximum(cut_windows(dense, batch.windows), encode_text(model, batch.parts[0]), sharpness)
        parts.append(contrast(scale * scores, batch.parts[1]))
    return torch.stack(parts).mean()


def train(model: nn.Module, batches: Batches, args: argparse.Namespace) -> None:
    """Train the model; print progress and the remaining time."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=.05, betas=(.9, .98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, args.steps, pct_start=.1)
    start, running = time.time(), 0.
    for step in range(1, args.steps + 1):
        focus = step > args.focus_from
        batch = batches.draw(num_classes=4 if focus and step % 2 else len(CLASSES))
        loss = losses(model, batch, step > args.dense_from, step > args.windows_from, 30. if focus else 10.)
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
    config = read_config(SHIPPED / f'{args.model}.json')
    model = build_from_config(config).to(memory_format=torch.channels_last)
    table = TokenTable(config['text_cfg']['context_length'])
    keep_tokens(model, table.ids)
    if args.model == 'toy-vit':
        distil(model, table, args.steps, args.batch_size)
    else:
        train(model, Batches(draw_pool(args.pictures), table, args.batch_size, args.seed), args)
    save_file(compact_state(model, table.ids), args.out)
    args.out.chmod(0o644)  # safetensors writes files readable by the owner only
    print(f'wrote {args.out} ({args.out.stat().st_size / 2**20:.1f} MiB)')


if __name__ == '__main__':
    with app.user_errors():
        main()

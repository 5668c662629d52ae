"""Training of toy-vit: a ViT learns the cells of toy-rn, so captions stay the only source of both.

A small ViT learns cells from captions far too slowly, see docs/toy_world.md. Its text tower is that of toy-rn and stays
fixed. Its image tower learns the teacher's features from new images: the distribution over sentences in each cell, the
cell relative to the mean of all cells, and the embedding of the image.
"""
import time

import numpy as np
import torch
from clip_data import TEMPLATES, TokenTable, normalise
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.clip import load_clip
from mmseg_mvp.clip.training import (
    encode_cells,
    encode_patches,
    encode_text,
    image_tower,
    pool_cells,
    project_cells,
    start_as_convolution,
)
from mmseg_mvp.datasets.toy.scenes import CLASSES, draw_scene
from mmseg_mvp.datasets.toy.shapes import COLOURS, part_names
from mmseg_mvp.errors import UserError

SCALE = 30.  # of cosines, in the softmax over sentences
POOLED = .2  # weight of the loss on embeddings of images
MATRIX_LR, OTHER_LR = .02, 3e-3  # of Muon and of AdamW
WARM_UP, DECAY = 200, .4  # steps of the warm-up, fraction of the steps in the decay


def distil(model: nn.Module, table: TokenTable, steps: int, size: int) -> None:
    """Train a ViT CLIP on the features of toy-rn, in place.

    Args:
        model (nn.Module): CLIP with the text tower of toy-rn and tokens of ``table``.
        table (TokenTable): Tokenizer.
        steps (int): Training steps.
        size (int): Images per step.

    Raises:
        UserError: If torch has no Muon.
    """
    teacher = load_clip('toy-rn', 'toy').model
    texts = copy_text(teacher, model, table)
    tower = image_tower(model)
    start_as_convolution(tower)
    optimizers = build_optimizers(tower)
    schedules = [torch.optim.lr_scheduler.LambdaLR(one, lambda step: rate(step, steps)) for one in optimizers]
    mean = features(teacher, draw(0, 512))[1].mean((0, 2, 3))  # (D, )
    start = time.time()
    for step in range(1, steps + 1):
        images = draw(step * size, size)
        loss = difference(encode_patches(tower, images), features(teacher, images), texts, mean)
        tower.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.)
        for one in (*optimizers, *schedules):
            one.step()
        if step % 50 == 0 or step == steps:
            spent = time.time() - start
            print(f'step {step}/{steps}  loss {loss.item():.3f}  {spent / 60:.1f} min, '
                  f'{spent / step * (steps - step) / 60:.1f} min left', flush=True)


def copy_text(teacher: nn.Module, model: nn.Module, table: TokenTable) -> Tensor:
    """Copy the teacher's text tower to the model; return embeddings (T, D) of names, coloured things and parts."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.startswith('visual.'):
                known = teacher.state_dict()[name]
                value.copy_(known[table.ids] if name == 'token_embedding.weight' else known)
        names = [encode_text(model, table([text.format(name) for text in TEMPLATES])).mean(0) for name in CLASSES]
        others = [f'a {colour} {name}.' for name in CLASSES for colour in COLOURS]
        others += [f'the {part} of a {name}.' for name in CLASSES for part in part_names(name)]
        return torch.cat([F.normalize(torch.stack(names), dim=-1), encode_text(model, table(others))])


def build_optimizers(visual: nn.Module) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    """Return Muon for the matrices of the blocks and AdamW for the other parameters."""
    if not hasattr(torch.optim, 'Muon'):
        raise UserError(f'torch {torch.__version__} has no optimizer Muon, which trains toy-vit: install torch >= 2.9.')
    matrices = [value for value in visual.transformer.parameters() if value.ndim == 2]
    others = [value for value in visual.parameters() if not any(value is one for one in matrices)]
    return (torch.optim.Muon(matrices, lr=MATRIX_LR, weight_decay=.05),
            torch.optim.AdamW(others, lr=OTHER_LR, betas=(.9, .98), weight_decay=0))


def rate(step: int, steps: int) -> float:
    """Return the factor of the learning rate: a linear warm-up, 1, and a linear decay over the last steps."""
    return min(1., (step + 1) / WARM_UP, (steps - step) / (DECAY * steps))


def draw(first: int, count: int) -> Tensor:
    """Draw normalised images (count, 3, 64, 64) of the split that toy-rn has learned from."""
    return normalise(np.stack([draw_scene(index, 'pretrain').image for index in range(first, first + count)]))


@torch.no_grad()
def features(teacher: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return embeddings (B, D) of images and unit features (B, D, h, w) of their cells."""
    with torch.autocast('cpu', torch.bfloat16):
        cells = encode_cells(teacher, images)
    cells = cells.float()
    return pool_cells(teacher, cells), F.normalize(project_cells(teacher, cells), dim=1)


def difference(found: tuple[Tensor, ...], wanted: tuple[Tensor, Tensor], texts: Tensor, mean: Tensor) -> Tensor:
    """Compute the loss between the model and its teacher, a scalar ().

    Args:
        found (tuple[Tensor, ...]): Embeddings (B, D) and any number of dense features (B, D, h, w) of the model.
        wanted (tuple[Tensor, Tensor]): Embeddings (B, D) and unit features (B, D, h, w) of the teacher.
        texts (Tensor): Unit embeddings of sentences (T, D).
        mean (Tensor): Mean of the teacher's cells (D, ).
    """
    picture = 1 - F.cosine_similarity(found[0], wanted[0]).mean()
    cells = [cell_difference(maps, wanted[1], texts, mean) for maps in found[1:]]
    return torch.stack(cells).mean() + POOLED * picture


def cell_difference(found: Tensor, wanted: Tensor, texts: Tensor, mean: Tensor) -> Tensor:
    """Compute the loss between dense features, as :func:`difference`: of the model and of the teacher (B, D, h, w)."""
    ours, theirs = (F.normalize(maps, dim=1).permute(0, 2, 3, 1).flatten(0, 2) for maps in (found, wanted))
    scores, target = (SCALE * cells @ texts.T for cells in (ours, theirs))  # (B*h*w, T)
    told = F.kl_div(scores.log_softmax(-1), target.log_softmax(-1), log_target=True, reduction='batchmean')
    return told + 1 - F.cosine_similarity(ours - mean, theirs - mean).mean()

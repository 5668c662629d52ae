"""Positions of timm's ViTs in operations that ONNX has: it lacks antialiased bicubic interpolation."""
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from timm.layers import RotaryEmbeddingCat
from timm.models import eva, vision_transformer
from torch import Tensor

# Parameter of the cubic kernel of antialiased interpolation in torch and Pillow (Keys, 1981).
_A = -0.5


@contextmanager
def traceable_positions() -> Iterator[None]:
    """Have timm's ViTs trace for any image size within the context, or with rotations for the traced size alone."""
    rotations = RotaryEmbeddingCat.get_embed

    def constant(rope: RotaryEmbeddingCat, shape: Sequence[int | Tensor] | None = None, *args) -> Tensor:
        return torch.from_numpy(rotations(rope, shape and [int(side) for side in shape], *args).numpy())  # (h*w, 2 * d)

    with ExitStack() as stack:
        for module in (eva, vision_transformer):
            stack.enter_context(mock.patch.object(module, 'resample_abs_pos_embed', resize_table))
        stack.enter_context(mock.patch.object(RotaryEmbeddingCat, 'get_embed', constant))
        yield


def resize_table(table: Tensor, new_size: Sequence[int | Tensor], old_size: Sequence[int] | None = None,
                 num_prefix_tokens: int = 1, **_) -> Tensor:
    """Resize like timm's ``resample_abs_pos_embed``, which has the same arguments.

    Args:
        table (Tensor): Position embeddings, (1, n + h0*w0, width).
        new_size (Sequence[int | Tensor]): Rows and columns (h, w); scalar tensors () during tracing.
        old_size (Sequence[int], optional): Rows and columns (h0, w0) of the table; None takes a square.
        num_prefix_tokens (int): Number n of tokens before the patches.

    Returns:
        Tensor: (1, n + h*w, width).
    """
    before, patches = table[:, :num_prefix_tokens], table[:, num_prefix_tokens:]
    old_size = old_size or (round(patches.shape[1]**0.5), ) * 2
    rows, columns = (cubic_weights(old, new).to(table) for old, new in zip(old_size, new_size))
    grid = patches.reshape(*old_size, -1).permute(2, 0, 1)  # (width, h0, w0)
    resized = (rows @ grid @ columns.T).flatten(1).T[None]  # (1, h*w, width)
    return torch.cat([before, resized], dim=1)


def cubic_weights(old: int, new: int | Tensor) -> Tensor:
    """Return the matrix (new, old) of antialiased bicubic interpolation of ``old`` positions; each row sums to 1."""
    step = old / torch.as_tensor(new).double()
    centre = (torch.arange(new)[:, None] + 0.5) * step
    distance = (torch.arange(old) + 0.5 - centre).abs() / step.clamp(min=1)
    near = ((_A + 2) * distance - (_A + 3)) * distance**2 + 1
    far = ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A
    weights = torch.where(distance < 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
    return weights / weights.sum(dim=1, keepdim=True)

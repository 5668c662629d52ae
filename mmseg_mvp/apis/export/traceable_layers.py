"""Traceable layers: the code of the original layers fixes the exported file to the size of the traced image."""
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TraceableAttention(nn.MultiheadAttention):
    """``nn.MultiheadAttention`` without masks; exported numbers of tokens stay dynamic."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
                need_weights: bool = True, attn_mask: Tensor | None = None, **kwargs) -> tuple[Tensor, None]:
        """Compute attention without weights.

        Args:
            query (Tensor): (B, N, D), or (N, B, D) unless ``batch_first``.
            key (Tensor): (B, M, D) or (M, B, D).
            value (Tensor): Same shape as the key.
            key_padding_mask (Tensor, optional): If given, torch's code runs.
            need_weights (bool): Ignored unless torch's code runs.
            attn_mask (Tensor, optional): If given, torch's code runs.
            **kwargs: As in torch.

        Returns:
            tuple[Tensor, None]: Output with the shape of the query, and None instead of the weights.
        """
        if key_padding_mask is not None or attn_mask is not None or not self._qkv_same_embed_dim:
            return super().forward(query, key, value, key_padding_mask, need_weights, attn_mask, **kwargs)
        weights = self.in_proj_weight.chunk(3)
        biases = (None, ) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        tokens = (query, key, value) if self.batch_first else (one.transpose(0, 1) for one in (query, key, value))
        heads = [F.linear(one, weight, bias).reshape(one.shape[0], one.shape[1], self.num_heads, self.head_dim)
                 .transpose(1, 2) for one, weight, bias in zip(tokens, weights, biases)]
        attended = self.out_proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))
        return attended if self.batch_first else attended.transpose(0, 1), None


class TraceablePool(nn.AdaptiveAvgPool2d):
    """``nn.AdaptiveAvgPool2d`` as two small matrix products, since ONNX has no operator for it."""

    def forward(self, x: Tensor) -> Tensor:
        """Average a map (B, C, h, w) over the cells of a grid: (B, C, rows, columns)."""
        grid = self.output_size if isinstance(self.output_size, tuple) else (self.output_size, ) * 2
        rows, columns = (None if cells is None else cell_averages(side, cells).to(x)
                         for side, cells in zip(x.shape[2:], grid))
        x = x if rows is None else rows @ x
        return x if columns is None else x @ columns.T


def cell_averages(side: int | Tensor, cells: int) -> Tensor:
    """Return the matrix that averages positions over cells. As in torch, cells overlap if c does not divide n.

    Args:
        side (int | Tensor): Number of positions n; a scalar tensor () during tracing.
        cells (int): Number of cells c. Cell i covers positions from ``floor(i n / c)`` to ``ceil((i + 1) n / c)``.

    Returns:
        Tensor: (c, n); each row sums to 1.
    """
    cell, position = torch.arange(cells)[:, None], torch.arange(side)
    start = torch.div(cell * side, cells, rounding_mode='floor')
    end = torch.div((cell + 1) * side + cells - 1, cells, rounding_mode='floor')
    inside = ((position >= start) & (position < end)).float()
    return inside / inside.sum(dim=1, keepdim=True)


REPLACED = {nn.MultiheadAttention: TraceableAttention, nn.AdaptiveAvgPool2d: TraceablePool}


def make_traceable(model: nn.Module) -> None:
    """Replace layers by the traceable layers of this module, in place. The weights do not change.

    Args:
        model (nn.Module): Copy of a model, used only for export.
    """
    for module in model.modules():
        module.__class__ = REPLACED.get(type(module), type(module))

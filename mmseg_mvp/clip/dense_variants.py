"""Dense variants: formulas for the last attention of a CLIP image tower, as a table.

Weights W of the last attention, for the queries q, keys k and values v of a head of size d, with s = d^-0.5::

    W = scale * ((1 - middle_share) * P + middle_share * M)
    P = sum over the pairs 'ab' of softmax(s a b' + G); without pairs, the identity
    M = mean of softmax(s q k') in the blocks ``middle``
    G = exp(-(distance in patches)^2 / (2 neighbourhood^2)) between patches, 0 for the class token; or 0

A(W) is out_proj of the heads' W v. With ``residual``, the block ends as CLIP's: y = x + A(W), y + mlp(ln_2(y)).
Without it, the block gives A(W) alone. The variant ``'proxy'`` takes W from another model, see
:mod:`mmseg_mvp.clip.proxy_tower`.
"""
import dataclasses
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from .attention import attend
from .proxy import ProxyVariant, check_proxy

PAIRS = tuple(map(''.join, product('qkv', repeat=2)))


@dataclasses.dataclass(frozen=True)
class DenseVariant:
    """Formula of the last attention; see the module for the equations.

    Attributes:
        pairs (tuple[str, ...]): Pairs of ``q``, ``k`` and ``v``, such as ``'kk'``; each adds a softmax. Empty means
            that each token reads its own value.
        neighbourhood (float, optional): Standard deviation of G in patches; None omits G.
        residual (bool): True keeps the residual connections and the MLP.
        middle (tuple[int, ...]): Blocks whose attention is averaged, from 0, as in ``out_indices``.
        middle_share (float): Share of M in W, 0 to 1.
        scale (float): Factor of W.
    """
    pairs: tuple[str, ...] = ()
    neighbourhood: float | None = None
    residual: bool = False
    middle: tuple[int, ...] = ()
    middle_share: float = 0.
    scale: float = 1.

    def __str__(self) -> str:
        name = next((name for name, row in VIT_VARIANTS.items() if row == self), None)
        return repr(dataclasses.asdict(self) if name is None else name)


VIT_VARIANTS = {
    'maskclip': DenseVariant(residual=True),  # Zhou et al., ECCV 2022, arXiv 2112.01071
    'value': DenseVariant(),
    'sclip': DenseVariant(('qq', 'kk'), residual=True),  # Wang et al., ECCV 2024, arXiv 2312.01597
    'clearclip': DenseVariant(('qq', )),  # Lan et al., ECCV 2024, arXiv 2407.12442
    'kk': DenseVariant(('kk', )),  # ablation of NACLIP
    'naclip': DenseVariant(('kk', ), neighbourhood=5.),  # Hajimiri et al., WACV 2025, arXiv 2404.08181
    'segearth': DenseVariant(('qq', 'kk', 'vv')),  # SegEarth-OV, Li et al., CVPR 2025, arXiv 2410.01768
    # The RCS part of ResCLIP (Yang et al., CVPR 2025, arXiv 2411.15851). Its share is 0.3 to 0.6, by data set.
    'resclip': DenseVariant(('kk', ), neighbourhood=5., middle=(5, 6, 7, 8), middle_share=0.4, scale=2.),
}
# An attention pool has no residual and no earlier attention. q, k and v get equal norms in the scores (ours): longer
# vectors would else attract all positions.
POOL_VARIANTS = {
    'maskclip': DenseVariant(),
    'value': DenseVariant(),
    'kk': DenseVariant(('kk', )),
    'qq': DenseVariant(('qq', )),
    'vv': DenseVariant(('vv', )),
}
# The attention pool of a timm ViT has a single learned query, so tokens have keys and values alone.
LATENT_VARIANTS = {name: row for name, row in POOL_VARIANTS.items() if name != 'qq'}
CELL_VARIANTS = {name: POOL_VARIANTS[name] for name in ('maskclip', 'value')}


class Kind(NamedTuple):
    """Kind of an image tower, which decides on its variants.

    Attributes:
        title (str): Description with article, for messages.
        variants (dict[str, DenseVariant | ProxyVariant]): Rows by name.
        letters (str): Vectors that each token has in the last attention, of q, k and v.
        in_block (bool): True if the last attention is that of a block, with residual, MLP and earlier attention.
        best (str): Name that ``'auto'`` stands for.
    """
    title: str
    variants: dict[str, DenseVariant | ProxyVariant]
    letters: str = 'qkv'
    in_block: bool = False
    best: str = 'maskclip'


_PROXY = {'proxy': ProxyVariant()}  # for all towers with values
# Of the published variants without further networks, NACLIP has the best mean of eight data sets (docs/model_zoo.md).
# No figures are published for the other kinds.
CLASS_TOKEN = Kind('a ViT with a class token', VIT_VARIANTS | _PROXY, in_block=True, best='naclip')
RESNET_POOL = Kind('a ResNet with an attention pool', POOL_VARIANTS | _PROXY)
LATENT_POOL = Kind('a ViT with an attention pool', LATENT_VARIANTS | _PROXY, letters='kv')
AVERAGE_POOL = Kind('an average pool without attention', CELL_VARIANTS, letters='')
_KINDS = (CLASS_TOKEN, RESNET_POOL, LATENT_POOL, AVERAGE_POOL)


def find_variant(dense: str | Mapping, kind: Kind, name: str) -> DenseVariant | ProxyVariant:
    """Return the row of a name, or compose one.

    Args:
        dense (str | Mapping): Name of a row, ``'auto'`` for the best one of the kind, or a dict with fields of
            :class:`DenseVariant`, or for the type ``'proxy'`` of :class:`ProxyVariant`. Its ``type`` is the name of
            the row that it changes, by default ``'value'``.
        kind (Kind): Kind of the tower.
        name (str): Name of the CLIP, for messages.

    Raises:
        UserError: If the name or a field is unknown, a value is not valid, or the tower cannot do it.
    """
    if not isinstance(dense, (str, Mapping)):
        raise UserError(f'The dense variant is {dense!r}, a {type(dense).__name__}: expected a name, or a dict such as '
                        f"dict(type='kk', neighbourhood=5.).")
    if isinstance(dense, str):
        return kind.variants[kind.best] if dense == 'auto' else _row(dense, kind, name)
    settings = dict(dense)
    base = _row(settings.pop('type', 'value'), kind, name)
    fields = [field.name for field in dataclasses.fields(base)]
    if unknown := [key for key in settings if key not in fields]:
        raise UserError(f'The dense variant {dict(dense)} has the unknown key {unknown[0]!r}: expected type, '
                        f'{", ".join(fields)}.')
    variant = dataclasses.replace(base, **settings)
    if isinstance(variant, ProxyVariant):
        return check_proxy(variant)
    variant = dataclasses.replace(variant, **_sequences(variant))
    _check_numbers(variant)
    _check_combination(variant, kind, name)
    return variant


def _row(dense: object, kind: Kind, name: str) -> DenseVariant | ProxyVariant:
    if isinstance(dense, str) and dense in kind.variants:
        return kind.variants[dense]
    fitting = ' or '.join(one.title for one in _KINDS if isinstance(dense, str) and dense in one.variants)
    found = f"needs {fitting}, but CLIP '{name}' has {kind.title}" if fitting else 'is unknown'
    raise UserError(f"The dense variant '{dense}' {found}: expected one of {', '.join(kind.variants)}.")


def _sequences(variant: DenseVariant) -> dict[str, tuple]:
    """Return ``pairs`` and ``middle`` as tuples. Raise UserError if they are no lists of valid entries."""
    for key, valid, expected in (('pairs', lambda one: one in PAIRS, f'a list of {", ".join(PAIRS)}'),
                                 ('middle', lambda one: type(one) is int and one >= 0, 'a list of block numbers')):
        values = getattr(variant, key)
        if not isinstance(values, (list, tuple)) or not all(map(valid, values)):
            raise UserError(f'dense.{key} is {values!r}: expected {expected}.')
    return dict(pairs=tuple(variant.pairs), middle=tuple(variant.middle))


def _check_numbers(variant: DenseVariant) -> None:
    if variant.neighbourhood is not None:
        check_number('dense.neighbourhood, in patches,', variant.neighbourhood, above=0)
    check_number('dense.middle_share', variant.middle_share, least=0, most=1)
    check_number('dense.scale', variant.scale, above=0)
    if not isinstance(variant.residual, bool):
        raise UserError(f'dense.residual is {variant.residual!r}: expected True or False.')


def _check_combination(variant: DenseVariant, kind: Kind, name: str) -> None:
    """Refuse settings that would have no effect, or that the tower cannot do."""
    if not kind.in_block and (variant.residual or variant.middle):
        raise UserError(f"dense sets {'residual' if variant.residual else 'middle'}, but CLIP '{name}' has "
                        f'{kind.title}, which gives no choice of a residual or of earlier attention: omit it.')
    if missing := set(''.join(variant.pairs)) - set(kind.letters):
        raise UserError(f"dense.pairs reads {min(missing)} of each token, but CLIP '{name}' has {kind.title}, which "
                        f"gives tokens {' and '.join(kind.letters) or 'none of q, k and v'} alone: choose "
                        f"{'pairs of these' if kind.letters else 'maskclip'}.")
    if not variant.pairs and (variant.neighbourhood is not None or variant.middle or variant.scale != 1):
        raise UserError("dense sets neighbourhood, middle or scale without pairs, but each token reads only its own "
                        "value then: name pairs, such as pairs=['kk'].")
    if bool(variant.middle) != (variant.middle_share > 0):
        raise UserError(f'dense.middle is {list(variant.middle)} and dense.middle_share is {variant.middle_share}: '
                        f'expected blocks and a share above 0, or neither.')


def attend_densely(variant: DenseVariant, parts: dict[str, Tensor], value: Tensor, grid: Sequence[int],
                   class_tokens: int = 1, middle: Sequence[tuple[Tensor, Tensor]] = ()) -> Tensor:
    """Apply the weights W of a variant with pairs to values, by torch's fused attention.

    No scores are held. With a neighbourhood, G is held, (N, N), one for all images and heads, because the fused
    attention takes a term of the scores only as a tensor. With it, torch 2.1 holds all scores on a CPU.

    Args:
        variant (DenseVariant): Formula with at least one pair.
        parts (dict[str, Tensor]): ``q``, ``k`` and ``v`` of the scores, if the pairs name them, (B, N, heads, d).
        value (Tensor): Values, (B, N, heads, d).
        grid (Sequence[int]): Rows h and columns w of the patches; N = class_tokens + h*w.
        class_tokens (int): Number of tokens before the patches.
        middle (Sequence[tuple[Tensor, Tensor]]): Queries and keys of the blocks ``variant.middle``, (B, N, heads, d).

    Returns:
        Tensor: W v, (B, N, heads, d).
    """
    bias = None
    if variant.neighbourhood is not None:
        bias = neighbour_bias(grid, variant.neighbourhood, class_tokens, value)
    attended = sum(attend(parts[a], parts[b], value, bias=bias) for a, b in variant.pairs)
    if middle:
        mean = sum(attend(query, key, value) for query, key in middle) / len(middle)
        attended = (1 - variant.middle_share) * attended + variant.middle_share * mean
    return attended if variant.scale == 1 else variant.scale * attended


def neighbour_bias(grid: Sequence[int], std: float, class_tokens: int, like: Tensor) -> Tensor:
    """Compute G of NACLIP, (N, N), with the device and dtype of ``like``.

    Args:
        grid (Sequence[int]): Rows h and columns w of the patches; N = class_tokens + h*w.
        std (float): Standard deviation in patches.
        class_tokens (int): Number of tokens before the patches; their rows and columns are 0.
        like (Tensor): Tensor with the device and dtype.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    sides = [torch.arange(side, device=like.device).to(dtype) for side in grid]
    rows, columns = (torch.exp(-(side[:, None] - side)**2 / (2 * std**2)) for side in sides)  # (h, h), (w, w)
    size = grid[0] * grid[1]
    gaussian = (rows[:, None, :, None] * columns[:, None, :]).reshape(size, size)  # (h, w, h, w) before
    return F.pad(gaussian, (class_tokens, 0, class_tokens, 0)).to(like.dtype)


def equal_norms(part: Tensor) -> Tensor:
    """Set the norm of each vector (B, N, heads, d) to the mean norm of its image and head."""
    return F.normalize(part, dim=-1) * part.norm(dim=-1, keepdim=True).mean(dim=1, keepdim=True)

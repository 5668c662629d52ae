"""What components ask of the numbers and tensors that a user gives them."""
import sys
from numbers import Integral, Real

from torch import Tensor

from .errors import UserError


def check_number(name: str, value: object, least: float | None = None, above: float | None = None,
                 most: float | None = None, whole: bool = False) -> None:
    """Refuse what is no finite number of a range.

    Args:
        name (str): What the number is, for the message.
        value (object): What a config or a call gives.
        least (float, optional): Smallest number that will do.
        above (float, optional): All numbers that will do are larger.
        most (float, optional): Largest number that will do.
        whole (bool): Whether it must be an integer.

    Raises:
        UserError: If it is no number (a bool is none), not finite, or out of the range.
    """
    number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    bounds = [(least, 'of at least'), (above, 'above'), (most, 'of at most')]
    if (not number or not -sys.float_info.max <= value <= sys.float_info.max or least is not None and value < least
            or above is not None and value <= above or most is not None and value > most):
        limits = ' and '.join(f'{word} {bound}' for bound, word in bounds if bound is not None)
        raise UserError(f'{name} is {value!r}: expected a {"whole" if whole else "finite"} number {limits}'.rstrip()
                        + '.')


def check_tensor(name: str, value: object, axes: str, like: Tensor | None = None) -> None:
    """Refuse what is no floating point tensor of a shape, or lies on another device than what it meets.

    Values are not looked at, which a GPU would have to wait for: what is not finite is told by the segmentor.

    Args:
        name (str): Who takes the tensor, for the message.
        value (object): What a call gives.
        axes (str): The shape, such as ``'B, C, h, w'``; no axis may be empty but the batch, ``B``.
        like (Tensor, optional): A weight that it meets.

    Raises:
        UserError: If it is something else.
    """
    if not isinstance(value, Tensor):
        raise UserError(f'{name} got a {type(value).__name__}: expected a tensor ({axes}).')
    letters = axes.split(', ')
    empty = any(not size for size, letter in zip(value.shape, letters) if letter != 'B')
    if value.dim() != len(letters) or empty or not value.is_floating_point():
        raise UserError(f'{name} got a {_kind(value)} tensor {tuple(value.shape)}: expected floating point values '
                        f'({axes}), of which only B may be 0.')
    if like is not None and value.device != like.device:
        raise UserError(f'{name} got a tensor on {value.device}, but is on {like.device} itself: move one to the other '
                        f'by to().')


def _kind(value: Tensor) -> str:
    return str(value.dtype).removeprefix('torch.')

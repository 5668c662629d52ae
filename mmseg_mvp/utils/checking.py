"""Checks of numbers and tensors from configs and calls."""
import sys
from numbers import Integral, Real

from torch import Tensor

from mmseg_mvp.errors import UserError


def check_number(name: str, value: object, least: float | None = None, above: float | None = None,
                 most: float | None = None, whole: bool = False) -> None:
    """Check that a value is a finite number in a range.

    Args:
        name (str): Description of the number for error messages.
        value (object): Value to check.
        least (float, optional): Inclusive lower bound.
        above (float, optional): Exclusive lower bound.
        most (float, optional): Inclusive upper bound.
        whole (bool): If True, require an integer.

    Raises:
        UserError: If ``value`` is not a number, not finite or out of range. A bool is not a number.
    """
    number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    bounds = [(least, 'of at least'), (above, 'above'), (most, 'of at most')]
    if (not number or not -sys.float_info.max <= value <= sys.float_info.max or least is not None and value < least
            or above is not None and value <= above or most is not None and value > most):
        limits = ' and '.join(f'{word} {bound}' for bound, word in bounds if bound is not None)
        raise UserError(f'{name} is {value!r}: expected a {"whole" if whole else "finite"} number {limits}'.rstrip()
                        + '.')


def check_tensor(name: str, value: object, axes: str, like: Tensor | None = None) -> None:
    """Check that a value is a floating point tensor of a shape, on the device of a weight.

    Values are not checked, because this would synchronise a GPU. The segmentor reports values that are not finite.

    Args:
        name (str): Name of the receiver for error messages.
        value (object): Value to check.
        axes (str): Shape, such as ``'B, C, h, w'``. Only the batch ``B`` can be empty.
        like (Tensor, optional): Weight with the expected device.

    Raises:
        UserError: If ``value`` is not such a tensor.
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

"""Checks of the weight and the name of a loss."""
from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number


def check_loss(kind: str, loss_weight: float, loss_name: str) -> None:
    """Check the weight and the name of a loss. mmengine sums only values with ``loss`` in their name.

    Raises:
        UserError: If the weight is not a finite number of at least 0, or the name does not contain ``loss``.
    """
    check_number(f'{kind}.loss_weight', loss_weight, least=0)
    if not isinstance(loss_name, str) or 'loss' not in loss_name:
        raise UserError(f"{kind}.loss_name is {loss_name!r}: expected a name that contains 'loss', because mmengine "
                        f'sums only those.')

"""Checks of the weight, the name and the place of a loss."""
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


def refuse_labels(kind: str, place: str, others: tuple, settings: dict) -> None:
    """Refuse a call as ``loss_decode``, to which mmseg's heads give labels and their settings.

    Raises:
        UserError: If there are other arguments than those of the loss.
    """
    if others or settings:
        raise UserError(f'loss_decode is {kind}, which gets no pixels and their labels: write loss_decode=dict(type='
                        f"'RefinedSegLoss'), and beside it {place}.")

"""What all losses ask of their weight and their name."""
from mmseg_mvp.checking import check_number
from mmseg_mvp.errors import UserError


def check_loss(kind: str, loss_weight: float, loss_name: str) -> None:
    """Refuse a weight that is none, and a name under which mmengine would log the loss and not add it.

    Args:
        kind (str): Of the loss, for the message.
        loss_weight (float): Factor of the loss, at least 0.
        loss_name (str): Name in the log.

    Raises:
        UserError: If one of them won't do.
    """
    check_number(f'{kind}.loss_weight', loss_weight, least=0)
    if not isinstance(loss_name, str) or 'loss' not in loss_name:
        raise UserError(f"{kind}.loss_name is {loss_name!r}: expected a name that contains 'loss', since mmengine adds "
                        f'up only those.')

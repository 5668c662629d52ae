"""Orthogonal Constraint Loss of MVP-SEG (arXiv 2304.06957)."""
import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.utils.checking import check_tensor

from .checks import check_loss, refuse_labels


@MODELS.register_module()
class OCLoss(BaseModule):
    """Orthogonal Constraint Loss: sum of the absolute cosines between mean context vectors of prompts.

    ``L_OC = sum_{i<j} |p'_i . p'_j| / (|p'_i| |p'_j|)``, with ``p'_i`` the mean of the M vectors of prompt i (MVP-SEG).
    The global prompt is excluded from the input. The gradient of ``|cos|`` has the same size at any cosine, also near
    0. Its steps are orthogonal to ``p'_i``, so they lengthen it, and the M vectors of a prompt become alike. The
    gradient of the squared cosines (ours) fades with the cosine.

    Args:
        loss_weight (float): Factor of the loss.
        loss_name (str): Name in the log, which must contain ``loss``.
        squared (bool): If True, sum the squared cosines instead of the absolute ones (ours).

    Raises:
        UserError: If the weight or the name is not valid.
    """

    def __init__(self, loss_weight: float = 1.0, loss_name: str = 'loss_oc', squared: bool = False) -> None:
        super().__init__()
        check_loss('OCLoss', loss_weight, loss_name)
        self.squared = squared
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, contexts: Tensor, *others, **settings) -> Tensor:
        """Compute the loss () of the context vectors of k prompts, (k, M, width); 0 for one prompt.

        Raises:
            UserError: If ``contexts`` is not such a tensor, or the loss is called as ``loss_decode``.
        """
        refuse_labels('OCLoss', "loss_oc=dict(type='OCLoss') in a text head with LearnedPrompts", others, settings)
        check_tensor('OCLoss', contexts, 'k, M, width')
        cosines = pair_cosines(contexts)
        return self.loss_weight * (cosines.square() if self.squared else cosines.abs()).sum()


def pair_cosines(contexts: Tensor) -> Tensor:
    """Compute cosines between mean vectors of all pairs of prompts: (k, M, width) to (k*(k-1)/2,)."""
    directions = F.normalize(contexts.mean(dim=1), dim=1)  # (k, width)
    rows, columns = torch.triu_indices(len(contexts), len(contexts), offset=1, device=contexts.device)
    return (directions[rows] * directions[columns]).sum(dim=1)

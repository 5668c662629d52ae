"""Global Prompt Refining of MVP-SEG (arXiv 2304.06957)."""
import math

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.checking import check_number, check_tensor


@MODELS.register_module()
class GPR(BaseModule):
    """Scores how likely each class is in the image, by a soft maximum of its class map.

    ``g_c = sigmoid(<m_c, softmax_hw(gamma * m_c)> / tau)``, the inner product over all positions (MVP-SEG, Global
    Prompt Refining). A head multiplies its class probabilities by ``g_c``; in log space it adds ``log g_c``. It needs
    no CLIP: any class map will do.

    Args:
        gamma (float): Sharpness of the soft maximum: 0 is the mean over positions, large values the maximum. Not given
            in the paper.
        tau (float): Initial temperature, positive; learned through its logarithm. Not given in the paper.
        learnable (bool): Whether the temperature is learned.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        UserError: If a number is none, or the temperature is not positive.
    """

    def __init__(self, gamma: float = 10., tau: float = 0.1, learnable: bool = True,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        check_number('GPR.gamma', gamma)
        check_number('GPR.tau', tau, least=1e-30, most=1e30)  # its powers of e stay in float32
        self.gamma = gamma
        # The logarithm keeps the temperature positive, and a step of a given size changes it by a given factor.
        self.log_tau = nn.Parameter(torch.tensor(math.log(tau)), requires_grad=bool(learnable))

    @property
    def tau(self) -> Tensor:
        """The temperature, a scalar ()."""
        return self.log_tau.exp()

    def logits(self, class_map: Tensor) -> Tensor:
        """Presence logits: the argument of the sigmoid.

        Args:
            class_map (Tensor): Scores of each class at each position, (B, C, h, w).

        Returns:
            Tensor: (B, C), in float32 at least: under half precision the temperature's gradient, which goes with
            ``1 / tau ** 2``, would be infinite from ``tau = 0.003`` on.

        Raises:
            UserError: If it is no such tensor.
        """
        check_tensor('GPR', class_map, 'B, C, h, w', self.log_tau)
        scores = class_map.flatten(2).to(torch.promote_types(class_map.dtype, torch.float32))
        soft_maximum = (scores * (self.gamma * scores).softmax(dim=2)).sum(dim=2)
        return soft_maximum / self.tau

    def forward(self, class_map: Tensor) -> Tensor:
        """Log-scores to add to class logits.

        Args:
            class_map (Tensor): Scores of each class at each position, (B, C, h, w).

        Returns:
            Tensor: ``log g``, (B, C), at most 0.
        """
        return F.logsigmoid(self.logits(class_map))

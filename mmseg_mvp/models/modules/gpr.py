"""Global Prompt Refining of MVP-SEG (arXiv 2304.06957)."""
import math

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.utils.checking import check_number, check_tensor

from ..utils.state import rename_key


@MODELS.register_module()
class GPR(BaseModule):
    """Global Prompt Refining: presence score of each class from a soft maximum of its class map.

    ``g_c = sigmoid(<m_c, softmax_hw(gamma * m_c)> / temperature)``, with the inner product over positions
    (MVP-SEG, Global Prompt Refining, where the temperature is ``tau_2``). A head
    multiplies class probabilities by ``g_c``, that is, it adds ``log g_c`` to logits. Any class map can be
    used, also without CLIP.

    Args:
        gamma (float): Sharpness of the soft maximum: 0 gives the mean over positions, large values the maximum. Not
            given in the paper.
        temperature (float): Initial temperature, 1e-30 to 1e30, learned as its logarithm. Not given in the paper.
        learnable (bool): If True, the temperature is learned.
        tau (float, optional): Former name of ``temperature``.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        UserError: If ``gamma`` is not a finite number or the temperature is out of range.
    """

    def __init__(self, gamma: float = 10., temperature: float = 0.1, learnable: bool = True,
                 init_cfg: dict | None = None, tau: float | None = None) -> None:
        super().__init__(init_cfg)
        temperature = temperature if tau is None else tau
        check_number('GPR.gamma', gamma)
        check_number('GPR.temperature', temperature, least=1e-30, most=1e30)  # keeps exp() within float32
        self.gamma = gamma
        # The logarithm keeps the temperature positive and makes its updates relative.
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=bool(learnable))

    @property
    def temperature(self) -> Tensor:
        """Divisor of the soft maximum, a scalar (), ``tau_2`` of the paper."""
        return self.log_temperature.exp()

    def logits(self, class_map: Tensor) -> Tensor:
        """Compute presence logits, the argument of the sigmoid, of a class map (B, C, h, w): (B, C).

        The dtype is float32 or float64. In float16, the gradient of the temperature, proportional to
        ``1 / temperature ** 2``, would be infinite for temperatures below 0.003.

        Raises:
            UserError: If ``class_map`` is not such a tensor or is on another device.
        """
        check_tensor('GPR', class_map, 'B, C, h, w', self.log_temperature)
        scores = class_map.flatten(2).to(torch.promote_types(class_map.dtype, torch.float32))  # (B, C, h*w)
        soft_maximum = (scores * (self.gamma * scores).softmax(dim=2)).sum(dim=2)  # (B, C)
        return soft_maximum / self.temperature

    def forward(self, class_map: Tensor) -> Tensor:
        """Compute ``log g`` of a class map (B, C, h, w), to be added to class logits: (B, C), at most 0."""
        return F.logsigmoid(self.logits(class_map))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        rename_key(state_dict, prefix, 'log_tau', 'log_temperature')
        super()._load_from_state_dict(state_dict, prefix, *args)

"""LSeg's spatial regularization of score maps, independent of the labels."""
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number, check_tensor

BLOCKS = ('depthwise', 'bottleneck')
ACTIVATIONS = dict(relu=nn.ReLU, lrelu=nn.LeakyReLU, tanh=nn.Tanh)


@MODELS.register_module()
class SpatialRegularization(BaseModule):
    """Convolution of score maps with weights shared by all labels (LSeg, arXiv 2201.03546).

    A 3x3 convolution of one channel (10 parameters for any number of labels) is applied ``depth`` times, with the
    activation in between. The depthwise block is ``conv(x)``. The bottleneck block adds the highest score over labels:
    ``conv(x) + max_n x_n``. The result is equivariant to the order of labels.

    Args:
        block (str): ``'depthwise'`` or ``'bottleneck'``.
        activation (str): ``'relu'``, ``'lrelu'`` (slope 0.01) or ``'tanh'``.
        depth (int): Number of applications; 0 returns the scores unchanged.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        UserError: If the block or activation is unknown, or the depth is negative.
    """

    def __init__(self, block: str = 'bottleneck', activation: str = 'relu', depth: int = 2,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        for name, value, known in (('block', block, BLOCKS), ('activation', activation, ACTIVATIONS)):
            if not isinstance(value, str) or value not in known:
                raise UserError(f'SpatialRegularization.{name} is {value!r}: expected one of {", ".join(known)}.')
        check_number('SpatialRegularization.depth', depth, least=0, whole=True)
        self.block = block
        self.depth = depth
        if depth:  # DDP fails with unused layers
            self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, scores: Tensor) -> Tensor:
        """Regularize the scores of N labels, (B, N, h, w).

        Raises:
            UserError: If ``scores`` is not such a tensor or is on another device.
        """
        check_tensor('SpatialRegularization', scores, 'B, N, h, w', next(self.parameters(), None))
        for application in range(1, self.depth + 1):
            scores = self._apply_block(scores)
            if application < self.depth:
                scores = self.activation(scores)
        return scores

    def _apply_block(self, scores: Tensor) -> Tensor:
        smoothed = self.conv(scores.flatten(0, 1)[:, None]).view_as(scores)  # labels as batch: (B*N, 1, h, w)
        return smoothed + scores.amax(dim=1, keepdim=True) if self.block == 'bottleneck' else smoothed

"""LSeg's spatial regularization of score maps, which knows nothing of labels."""
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_mvp.checking import check_number, check_tensor
from mmseg_mvp.errors import UserError

BLOCKS = ('depthwise', 'bottleneck')
ACTIVATIONS = dict(relu=nn.ReLU, lrelu=nn.LeakyReLU, tanh=nn.Tanh)


@MODELS.register_module()
class SpatialRegularization(BaseModule):
    """Smooths the score map of each label by a convolution that all labels share (LSeg, arXiv 2201.03546).

    One 3x3 convolution of one channel, 10 parameters for any number of labels, is applied ``depth`` times, with the
    activation after all but the last. The depthwise block is ``conv(x)``; the bottleneck block adds the highest score
    of all labels to each: ``conv(x) + max_n x_n``. Any order of the labels gives the same maps in that order.

    Args:
        block (str): ``'depthwise'`` or ``'bottleneck'``.
        activation (str): ``'relu'``, ``'lrelu'`` (slope 0.01) or ``'tanh'``.
        depth (int): Number of applications; 0 leaves the scores as they are.
        init_cfg (dict, optional): As in mmengine.

    Raises:
        UserError: If there is no such block or activation, or the depth is negative.
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
        if depth:  # an unused layer would break DDP
            self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.activation = ACTIVATIONS[activation]()

    def forward(self, scores: Tensor) -> Tensor:
        """Regularize scores.

        Args:
            scores (Tensor): Scores of any number of labels, (B, N, h, w).

        Returns:
            Tensor: The same shape.

        Raises:
            UserError: If it is no such tensor.
        """
        check_tensor('SpatialRegularization', scores, 'B, N, h, w', next(self.parameters(), None))
        for application in range(1, self.depth + 1):
            scores = self._apply_block(scores)
            if application < self.depth:
                scores = self.activation(scores)
        return scores

    def _apply_block(self, scores: Tensor) -> Tensor:
        smoothed = self.conv(scores.flatten(0, 1)[:, None]).view_as(scores)
        return smoothed + scores.amax(dim=1, keepdim=True) if self.block == 'bottleneck' else smoothed

"""Pixel-adaptive mask refinement (PAMR) of Araslanov and Roth, CVPR 2020 (arXiv 2005.08104)."""
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

_AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
_SHARE, _EPSILON = 0.1, 1e-8  # of the local deviation, from the authors' code


class PAMR(nn.Module):
    """Refinement of class maps that moves their borders to those of the image, without learned parameters.

    In each iteration, a pixel i takes the mean of its neighbours n, weighted by the similarity of their colours::

        alpha[i, n] = softmax_n(-mean_k |I_k[i] - I_k[n]| / (0.1 * sigma_k[i] + 1e-8))
        m[i] <- sum_n alpha[i, n] * m[n]

    The neighbours are the 8 around i at the distance of each dilation. ``sigma_k[i]`` is the standard deviation of
    channel k over them and i itself, which counts once per dilation. The border of the image is replicated.
    Each class map is refined independently and linearly, and a constant map stays as it is.

    Args:
        iterations (int): Number of iterations.
        dilations (Sequence[int]): Distances of the neighbours in pixels.

    Raises:
        UserError: If a number is not valid.
    """

    def __init__(self, iterations: int = 10, dilations: Sequence[int] = (8, 16)) -> None:
        super().__init__()
        check_number('iterations of the refinement PAMR', iterations, least=1, whole=True)
        if not isinstance(dilations, Sequence) or isinstance(dilations, str) or not dilations:
            raise UserError(f'dilations of the refinement PAMR is {dilations!r}: expected a list of distances in '
                            f'pixels, such as (8, 16).')
        for dilation in dilations:
            check_number('An entry of dilations of the refinement PAMR', dilation, least=1, whole=True)
        self.iterations, self.dilations = iterations, tuple(dilations)

    def weights(self, image: Tensor) -> Tensor:
        """Compute the weights alpha of the P neighbours of each pixel of an image (K, H, W): (P, H, W)."""
        distance = 0
        for channel in image:
            around = torch.cat(list(self._neighbours(channel[None])))  # (P, H, W)
            own = channel.expand(len(self.dilations), *channel.shape)
            deviation = torch.cat([around, own]).std(dim=0)
            distance = distance + (around - channel).abs() / (_SHARE * deviation + _EPSILON)
        return (-distance / len(image)).softmax(dim=0)

    def forward(self, maps: Tensor, weights: Tensor) -> Tensor:
        """Refine class maps (C, H, W) by weights (P, H, W), one neighbour at a time: (C, H, W)."""
        for _ in range(self.iterations):
            refined = torch.zeros_like(maps)
            for weight, neighbour in zip(weights, self._neighbours(maps)):
                refined.addcmul_(neighbour, weight)
            maps = refined
        return maps

    def _neighbours(self, maps: Tensor) -> Iterator[Tensor]:
        """Generate maps (C, H, W) shifted to each of the P neighbours, as views of one padded copy."""
        height, width = maps.shape[1:]
        # A neighbour beyond the border is the border's pixel, so longer steps change nothing.
        bottom, right = (min(max(self.dilations), side - 1) for side in (height, width))
        padded = F.pad(maps, (right, right, bottom, bottom), mode='replicate')
        for dilation in self.dilations:
            for dy, dx in _AROUND:
                top, left = bottom + dy * min(dilation, bottom), right + dx * min(dilation, right)
                yield padded[:, top:top + height, left:left + width]


def build_refinement(setting: str | dict | None) -> PAMR | None:
    """Build the refinement of ``test_cfg.refine``: ``'pamr'``, or a dict of ``type='PAMR'`` and its arguments.

    Raises:
        UserError: If the setting is not valid.
    """
    if setting is None:
        return None
    settings = dict(type=setting) if isinstance(setting, str) else setting
    if (not isinstance(settings, dict) or not {'type'} <= set(settings) <= {'type', 'iterations', 'dilations'}
            or str(settings['type']).lower() != 'pamr'):
        raise UserError(f"The refinement (test_cfg.refine) is {setting!r}: expected None, 'pamr', or a dict such as "
                        f"dict(type='PAMR', iterations=10, dilations=(8, 16)).")
    return PAMR(**{name: value for name, value in settings.items() if name != 'type'})

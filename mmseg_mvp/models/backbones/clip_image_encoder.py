"""CLIP's image tower as an mmseg backbone."""
import copy
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.clip import Frozen, dense_tower, load_clip
from mmseg_mvp.errors import UserError


@MODELS.register_module()
class CLIPImageEncoder(BaseModule):
    """Dense CLIP features of images of any size (MaskCLIP, ECCV 2022; MVP-SEG's ``F``).

    Args:
        clip (dict): ``model`` and ``weights`` of :func:`mmseg_mvp.clip.load_clip`.
        dense (str): How the last attention is read, ``'maskclip'`` or ``'value'``
            (:class:`mmseg_mvp.clip.image_tower.ViTTower`).
        out_indices (Sequence[int]): Layers (ResNet, 0 to 3) or blocks (ViT) whose outputs are wanted as well, for
            heads that take several maps.
        frozen (bool): True keeps the tower out of training and out of the checkpoint. False makes it an ordinary,
            trainable backbone.
        init_cfg (dict, optional): As in mmengine; CLIP's weights are there after construction.

    Attributes:
        stride (int): Pixels per dense feature, along each side.
        embed_dim (int): Channels of the dense features.

    Raises:
        UserError: If the CLIP can't be loaded, can't give dense features, or has no such layer.
    """

    def __init__(self, clip: dict, dense: str = 'maskclip', out_indices: Sequence[int] = (), frozen: bool = True,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        tower = dense_tower(load_clip(**clip).model.visual, dense, clip['model'])
        wrong = [index for index in out_indices if not 0 <= index < len(tower.channels)]
        if wrong:
            raise UserError(f"CLIPImageEncoder.out_indices names layers {wrong}, but CLIP '{clip['model']}' has layers "
                            f'0 to {len(tower.channels) - 1}.')
        self.out_indices = tuple(out_indices)
        self.frozen = frozen
        self.stride, self.embed_dim = tower.stride, tower.embed_dim
        self.tower = Frozen(tower) if frozen else _own(tower)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            images (Tensor): Images in CLIP's normalisation, (B, 3, H, W); padded with zeros at the bottom and the right
                to multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Outputs of ``out_indices``, then the dense features
            (B, D, ceil(H/stride), ceil(W/stride)).
        """
        pad_h, pad_w = (-side % self.stride for side in images.shape[2:])
        images = F.pad(images, (0, pad_w, 0, pad_h)) if pad_h or pad_w else images
        with torch.no_grad() if self.frozen else nullcontext():
            return self.tower(images, self.out_indices)


def _own(tower: torch.nn.Module) -> torch.nn.Module:
    """A trainable copy: the loaded CLIP is shared, and must stay as it is."""
    return copy.deepcopy(tower).requires_grad_(True)

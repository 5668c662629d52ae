"""CLIP's image tower as an mmseg backbone."""
import copy
import logging
import os
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmseg_mvp.clip import Frozen, check_clip, embed_images, fold_batch_norm, load_clip, unwrap, weights_hash
from mmseg_mvp.errors import UserError

PRECISIONS = ('bfloat16', 'float16')


@MODELS.register_module()
class CLIPImageEncoder(BaseModule):
    """Backbone with dense CLIP features for images of any size (MaskCLIP, ECCV 2022; ``F`` of MVP-SEG).

    Args:
        clip (dict): Arguments of :func:`mmseg_mvp.clip.load_clip`.
        dense (str | dict): Variant of the last attention: a name, such as ``'maskclip'``, ``'naclip'`` or ``'auto'``,
            or a dict that composes one, such as ``dict(type='kk', neighbourhood=5.)``; see
            :mod:`mmseg_mvp.clip.dense_variants`.
        out_indices (Sequence[int]): Layers (ResNet, 0 to 3) or blocks (ViT) to return as well, for heads with several
            inputs.
        frozen (bool): If True, training and checkpoints exclude the tower, and BatchNorm of a ResNet is folded. If
            False, the tower is an ordinary trainable backbone.
        autocast (str, optional): ``'bfloat16'`` or ``'float16'`` runs the tower under ``torch.autocast``. It is about
            twice as fast on suitable hardware. Features differ by about 1 % of the largest value and are returned in
            the images' dtype. In eval mode, a warning is logged once. None keeps the precision.
        init_cfg (dict, optional): As in mmengine; CLIP's weights are loaded at construction.

    Attributes:
        dense (str | dict): Dense variant, to be recorded: the weights file of a proxy is named without its folder.
        variant (str): Name of the dense variant, for messages.
        stride (int): Pixels per dense feature along each side.
        embed_dim (int): Channels D of the dense features.
        key_dim (int): Channels K of the keys of the last attention; 0 if the tower gives none.
        out_channels (tuple[int, ...]): Channels of the returned features.
        layer_channels (tuple[int, ...]): Channels of the layers or blocks that ``out_indices`` selects from.
        normalisation (dict[str, list[float]]): ``mean`` and ``std`` of pixels, RGB, 0 to 255, that the CLIP expects.
        fingerprint (str): Fingerprint of the CLIP.
        store (FeatureStore, optional): Store of the outputs, see :class:`mmseg_mvp.engine.FeatureStoreHook`.

    Raises:
        UserError: If the CLIP cannot be loaded or has no such dense features, a layer does not exist, or the precision
            is unknown.
    """

    def __init__(self, clip: dict, dense: str | dict = 'maskclip', out_indices: Sequence[int] = (),
                 frozen: bool = True, autocast: str | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        if autocast not in (None, *PRECISIONS):
            raise UserError(f'CLIPImageEncoder.autocast is {autocast!r}: expected one of {", ".join(PRECISIONS)}, or '
                            f'None for the precision of the images.')
        loaded = load_clip(**check_clip(clip))
        tower = loaded.dense_tower(dense)
        wrong = [index for index in out_indices if not 0 <= index < len(tower.channels)]
        if wrong:
            raise UserError(f"CLIPImageEncoder.out_indices names layers {wrong}, but CLIP '{clip['model']}' has layers "
                            f'0 to {len(tower.channels) - 1}.')
        self.dense, self.variant = _without_folder(dense), loaded.variant_name(dense)
        self.out_indices = tuple(out_indices)
        self.frozen = frozen
        self.autocast = autocast
        self.out_channels = (*(tower.channels[index] for index in self.out_indices), tower.embed_dim)
        self.layer_channels = tower.channels
        self.stride, self.embed_dim, self.normalisation = tower.stride, tower.embed_dim, loaded.normalisation()
        self.key_dim = getattr(tower, 'key_dim', 0)
        self.fingerprint = loaded.fingerprint
        self.tower = Frozen(fold_batch_norm(tower)) if frozen else _own(tower, self.out_indices)
        self.store = None
        self._warned = False

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Extract features of images in CLIP's normalisation, (B, 3, H, W).

        Zeros pad the images at the bottom and right to multiples of the stride.

        Returns:
            tuple[Tensor, ...]: Outputs of ``out_indices``, (B, C_i, h_i, w_i), then dense features (B, D, h, w), with h
            = ceil(H / stride) and w = ceil(W / stride).

        Raises:
            UserError: If the device does not support ``autocast``.
        """
        return self._run(images)

    def features_and_keys(self, images: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Extract features as :meth:`forward`, and the keys of the last attention, (B, K, h, w), not normalised."""
        self.check_keys()
        *outputs, keys, dense = self._run(images, keys=True)
        return (*outputs, dense), keys

    def check_keys(self) -> None:
        """Raise UserError if the tower gives no keys."""
        if not self.key_dim:
            raise UserError(f"test_cfg.key_smooth needs the keys of CLIP's last attention, but this CLIP with "
                            f"dense={self.dense!r} gives none: take a ResNet or ViT of open_clip without a proxy, such "
                            f"as ViT-B-16 with dense='maskclip', or omit key_smooth.")

    def _run(self, images: Tensor, **wanted: bool) -> tuple[Tensor, ...]:
        pad_h, pad_w = (-side % self.stride for side in images.shape[2:])
        images = F.pad(images, (0, pad_w, 0, pad_h)) if pad_h or pad_w else images
        with torch.no_grad() if self.frozen else nullcontext():
            extract = self._extract if self.autocast is None else self._extract_under_autocast
            if self.store is None:
                return extract(images, **wanted)
            return self.store(images, partial(extract, **wanted), '+'.join(wanted))

    def identity(self) -> dict:
        """Return the settings that the features of an image depend on, by name, as plain data of JSON."""
        return {'CLIP (fingerprint)': self.fingerprint, 'dense variant': self.dense, 'autocast': self.autocast,
                'image tower (hash)': weights_hash(unwrap(self.tower))}

    def image_embedding(self, images: Tensor) -> Tensor:
        """Compute CLIP's own embedding of whole images (class token or attention pool), as a map of one position.

        Images (B, 3, H, W) in CLIP's normalisation are resized to the square of CLIP's training.

        Returns:
            Tensor: Embeddings, (B, D, 1, 1), not normalised.
        """
        with torch.no_grad() if self.frozen else nullcontext():
            return embed_images(unwrap(self.tower), images)[:, :, None, None]

    def _extract(self, images: Tensor, **wanted: bool) -> tuple[Tensor, ...]:
        return self.tower(images, self.out_indices, **wanted)

    def _extract_under_autocast(self, images: Tensor, **wanted: bool) -> tuple[Tensor, ...]:
        if not self.training and not self._warned:
            self._warned = True
            print_log(f'Image features are computed in {self.autocast} (CLIPImageEncoder.autocast): name it beside any '
                      f'figure, or set it to None for those that you report.', 'current', logging.WARNING)
        try:
            autocast = torch.autocast(images.device.type, getattr(torch, self.autocast))
        except RuntimeError as error:
            raise UserError(f"CLIPImageEncoder(autocast='{self.autocast}') is not possible on "
                            f"{images.device.type} with torch {torch.__version__} ({error}): take 'bfloat16', or "
                            f'None') from error
        with autocast:
            features = self._extract(images, **wanted)
        return tuple(feature.to(images.dtype) for feature in features)


def _without_folder(dense: str | dict) -> str | dict:
    if isinstance(dense, str):
        return dense
    return dict(dense, weights=os.path.basename(dense['weights'])) if dense.get('weights') else dict(dense)


def _own(tower: torch.nn.Module, out_indices: Sequence[int]) -> torch.nn.Module:
    """Copy a tower for training; the loaded CLIP is shared and must not change."""
    tower = copy.deepcopy(tower).requires_grad_(True)
    for parameter in tower.idle_parameters(out_indices):
        parameter.requires_grad_(False)
    return tower

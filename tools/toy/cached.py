"""Runs on the toy world that draw each picture and compute its features once per process.

The pictures of the toy world are not augmented and the image tower is frozen, so both are the same in each run.
"""
import copy
import hashlib
import math

import runs  # isort: skip  # noqa: F401 (imports this package before mmseg, which hides mmseg's notices)
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from torch import Tensor, nn
from torch.nn import functional as F

from mmseg_mvp.datasets.toy.dataset import ToySceneDataset
from mmseg_mvp.models.text.view_fusion import ViewFusion

_samples = {}  # (split, size, classes, scene) -> packed sample
_features = {}  # (CLIP and backbone, digest of the image) -> maps (1, C_i, h_i, w_i)


@DATASETS.register_module(force=True)
class CachedScenes(ToySceneDataset):
    """``ToySceneDataset`` that keeps its packed samples for all runs of the process."""

    def __getitem__(self, index: int) -> dict:
        scene = self.get_data_info(index)['index']  # not the position, in a subset
        key = self.split, self.size, tuple(self.metainfo['classes']), scene
        if key not in _samples:
            _samples[key] = super().__getitem__(index)
        return copy.deepcopy(_samples[key])  # a run writes its predictions into the sample


def build_runner(cfg: Config) -> Runner:
    """Build the runner of MVP-SEG or MaskCLIP on the toy world, with cached pictures and features. ``cfg`` changes."""
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        if cfg.get(name):
            cfg[name].dataset.type = 'CachedScenes'
    runner = Runner.from_cfg(cfg)
    cache_features(runner.model, str(cfg.model.backbone))
    return runner


def cache_features(model: nn.Module, kind: str) -> None:
    """Make a segmentor compute the features of each image once for all models of the process.

    Args:
        model (nn.Module): Segmentor whose backbone is frozen.
        kind (str): Settings of the backbone.
    """
    compute, kind = model.extract_feat, (model.decode_head.classifier.clip.fingerprint, kind)

    @torch.no_grad()
    def features(image: Tensor) -> tuple[Tensor, ...]:
        key = *kind, hashlib.blake2b(image.cpu().numpy().tobytes()).digest()
        if key not in _features:
            _features[key] = compute(image[None])
        return _features[key]

    model.extract_feat = lambda images: tuple(map(torch.cat, zip(*map(features, images))))


class DroppedViews(ViewFusion):
    """Fusion that trains on one to k random prompts per iteration and tests with all of them."""

    def _fuse(self, maps: Tensor) -> Tensor:
        """Fuse (B, k, S, h, w) to (B, 1, S, h, w)."""
        if not self.training:
            return super()._fuse(maps)
        kept = torch.randperm(self.views)[:int(torch.randint(1, self.views + 1, ()))]
        some = (self.sharpness * maps[:, kept]).logsumexp(dim=1, keepdim=True) - math.log(len(kept))
        return self.views / self.sharpness * some


class CoveringViews(ViewFusion):
    """Fusion that keeps its last maps for the loss of coverage; see :func:`add_coverage`."""

    def _fuse(self, maps: Tensor) -> Tensor:
        """Fuse (B, k, S, h, w) to (B, 1, S, h, w)."""
        self.maps = maps
        return super()._fuse(maps)


def add_coverage(head: nn.Module, weight: float) -> None:
    """Give a head with log-sum-exp a loss that makes all prompts win in the mask of each class."""
    head.classifier.fusion = fusion = CoveringViews(head.classifier.fusion.views, 'logsumexp')
    other_losses = head.loss

    def loss(inputs: tuple[Tensor, ...], samples: list, train_cfg: dict | None = None) -> dict:
        losses = other_losses(inputs, samples, train_cfg)
        label = torch.stack([sample.gt_sem_seg.data for sample in samples])  # (B, 1, H, W)
        return {**losses, 'loss_coverage': weight * coverage_loss(fusion.sharpness * fusion.maps, label)}

    head.loss = loss


def coverage_loss(scores: Tensor, label: Tensor) -> Tensor:
    """Return the mean over the classes in ``label`` of KL(share of each prompt in the mask | 1/k), a scalar ().

    Args:
        scores (Tensor): Scores of each prompt and class, (B, k, C, h, w). A prompt wins by their softmax over k.
        label (Tensor): Class indices, (B, 1, H, W); those from C on are ignored.
    """
    classes = scores.shape[2]
    label = F.interpolate(label.float(), scores.shape[-2:]).long()[:, 0]  # (B, h, w)
    mask = F.one_hot(label.clamp(max=classes), classes + 1)[..., :classes].to(scores.dtype)  # (B, h, w, C)
    wins = torch.einsum('bkchw, bhwc -> ck', scores.softmax(dim=1), mask)
    area = mask.sum(dim=(0, 1, 2))  # (C,)
    share = wins[area > 0] / area[area > 0, None]  # (C present, k)
    return (share * (share * scores.shape[1]).log()).sum(dim=1).mean()

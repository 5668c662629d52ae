"""Choice of the probability threshold for the background on images with masks that no test uses."""
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.utils import ProgressBar
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmseg_mvp.errors import UserError
from mmseg_mvp.evaluation.zero_shot_iou import class_iou
from mmseg_mvp.models.segmentors import OpenVocabEncoderDecoder
from mmseg_mvp.utils.checking import check_number

STEPS = 100
THRESHOLDS = torch.arange(STEPS) / STEPS  # 0, 0.01, ..., 0.99


class ThresholdCurve(NamedTuple):
    """Mean IoU for each threshold.

    Attributes:
        miou (Tensor): mIoU in percent at ``THRESHOLDS``, (100,), float64.
        images (int): Number of images.
    """
    miou: Tensor
    images: int

    @property
    def best(self) -> float:
        """Smallest threshold with the highest mIoU."""
        return float(THRESHOLDS[self.miou.argmax()])

    def __str__(self) -> str:
        shown = sorted({*range(0, STEPS, 5), int(self.miou.argmax())})
        rows = '\n'.join(f'{float(THRESHOLDS[step]):>8.2f}  {float(self.miou[step]):>6.2f}' for step in shown)
        return f'prob_thd    mIoU on {self.images} images\n{rows}'


def choose_threshold(model: OpenVocabEncoderDecoder, cfg: Config, images: int) -> ThresholdCurve:
    """Compute the mIoU of all thresholds on evenly spaced images of ``cfg.choose_dataloader``, in one pass.

    Args:
        model (OpenVocabEncoderDecoder): Segmentor in eval mode whose ``test_cfg`` has a ``prob_thd``.
        cfg (Config): Its config with ``choose_dataloader``, as in ``configs/training_free/``.
        images (int): Largest number of images.

    Raises:
        UserError: As in :func:`check_choice`.
    """
    check_choice(cfg, model.test_cfg, images)
    dataset = DATASETS.build(cfg.choose_dataloader.dataset)
    chosen = torch.linspace(0, len(dataset) - 1, min(images, len(dataset))).round().long().tolist()
    loader = DataLoader(Subset(dataset, chosen), num_workers=cfg.choose_dataloader.get('num_workers', 0),
                        collate_fn=pseudo_collate)
    counts, progress = None, ProgressBar(len(chosen))
    for sample in _samples(model, loader):
        areas = _areas(sample, dataset)
        counts = areas if counts is None else counts + areas
        progress.update()
    miou = torch.stack([class_iou(areas).nanmean() for areas in counts.unbind(1)])
    return ThresholdCurve(miou, len(chosen))


def check_choice(cfg: Config, test_cfg: Mapping, images: int) -> None:
    """Check that a threshold can be chosen.

    Raises:
        UserError: If the config has no images for it, the model no threshold, or ``images`` is not a positive integer.
    """
    check_number('The number of images (--images)', images, least=1, whole=True)
    if cfg.get('choose_dataloader') is None:
        raise UserError('The config has no images to choose a threshold on: set choose_dataloader to training images '
                        'and their masks, as in configs/training_free/.')
    if not test_cfg.get('prob_thd'):
        raise UserError('The model has no threshold to choose: set model.test_cfg.prob_thd to any value above 0, and '
                        'bg_idx to the label of the background.')


@torch.no_grad()
def _samples(model: OpenVocabEncoderDecoder, loader: Iterable[dict]) -> Iterable[SegDataSample]:
    for batch in loader:
        yield from model.test_step(batch)


def _areas(sample: SegDataSample, dataset: BaseDataset) -> Tensor:
    """Count intersection, prediction and ground truth of each class at each threshold, (3, 100, C) int64."""
    labels, probability = sample.low_res_logits.before_threshold()
    background, classes = sample.low_res_logits.rule.background, len(dataset.metainfo['classes'])
    truth = sample.gt_sem_seg.data[0].to(labels.device)
    counted = truth != dataset.ignore_index
    labels, truth, probability = labels[counted], truth[counted].long(), probability[counted]
    # A pixel keeps its label at the thresholds of the bins 0 to `last`, and is background at the others.
    last = torch.searchsorted(THRESHOLDS.to(probability), probability, right=True) - 1

    def kept(pixels: Tensor, values: Tensor) -> Tensor:  # pixels of each class that keep their label, (100, C)
        bins = (last[pixels] * classes + values[pixels]).bincount(minlength=STEPS * classes)
        return bins.reshape(STEPS, classes).flip(0).cumsum(0).flip(0)

    everything, actual = torch.ones_like(truth, dtype=torch.bool), truth.bincount(minlength=classes)
    predicted, correct = kept(everything, labels), kept(truth == labels, labels)
    lost = actual[background] - kept(truth == background, truth)[:, background]  # background by the threshold
    predicted[:, background] += len(truth) - predicted.sum(dim=1)
    correct[:, background] += lost
    return torch.stack([correct, predicted, actual.expand(STEPS, classes)]).cpu()

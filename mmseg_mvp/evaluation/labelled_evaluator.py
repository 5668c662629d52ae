"""Evaluator for data sets in which images lack masks."""
import logging
from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.evaluator import Evaluator
from mmengine.evaluator.metric import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmseg.evaluation import IoUMetric
from mmseg.registry import EVALUATOR

from mmseg_mvp.errors import UserError

_NAMES = ('mIoU', 'mDice', 'mFscore')


@EVALUATOR.register_module()
class LabelledEvaluator(Evaluator):
    """mmengine's ``Evaluator`` that scores images with a mask only; mmseg's metrics raise a KeyError for others.

    The log says how many images have no mask. If none has one, ``IoUMetric`` and its subclasses are not computed.

    Raises:
        UserError: If ``IoUMetric`` has an unknown name in ``iou_metrics``, or two of them would give results of equal
            names. mmengine finds both after the last image, and the results are lost.
    """

    def __init__(self, metrics: dict | BaseMetric | Sequence) -> None:
        super().__init__(metrics)
        _check_metrics([metric for metric in self.metrics if isinstance(metric, IoUMetric)])
        self._counts = torch.zeros(2, dtype=torch.int64)  # images, images with a mask

    def process(self, data_samples: Sequence[BaseDataElement], data_batch: dict | None = None) -> None:
        """Pass predictions (1, H, W) to the metrics; an image without mask gets one of ignored pixels."""
        samples = [sample.to_dict() if isinstance(sample, BaseDataElement) else sample for sample in data_samples]
        self._counts += torch.tensor([len(samples), sum('gt_sem_seg' in sample for sample in samples)])
        for metric in self.metrics:
            metric.process(data_batch, [_with_mask(sample, metric.ignore_index) if _compares(metric) else sample
                                        for sample in samples])

    def evaluate(self, size: int) -> dict:
        """Compute the metrics of ``size`` images; return an empty dict if there is nothing to score."""
        all_reduce(self._counts)
        total, labelled = self._counts.tolist()
        self._counts.zero_()
        metrics = self.metrics
        if labelled < total and any(map(_compares, metrics)):
            print_log(f'{total - labelled} of {total} images have no mask and are not scored.' if labelled else
                      f'None of the {size} images has a mask: there is nothing to score. tools/test.py writes the '
                      f'predictions by --out DIR and pictures by --show-dir DIR.', 'current', logging.WARNING)
        try:
            self.metrics = [metric for metric in metrics if not isinstance(metric, IoUMetric)
                            or (labelled if _compares(metric) else metric.output_dir)]
            return super().evaluate(size)
        finally:
            self.metrics = metrics
            for metric in metrics:
                metric.results.clear()


def _check_metrics(metrics: Sequence[IoUMetric]) -> None:
    for metric in metrics:
        if unknown := [name for name in metric.metrics if name not in _NAMES]:
            raise UserError(f'iou_metrics of {type(metric).__name__} has {unknown[0]!r}: set names of '
                            f'{", ".join(_NAMES)}')
    prefixes = [metric.prefix for metric in metrics if not metric.format_only]
    if len({*prefixes}) < len(prefixes):
        raise UserError(f'the evaluator has {len(prefixes)} metrics with the prefixes {prefixes}, so results would '
                        'have equal names: give each metric another prefix, or use one metric with several '
                        'iou_metrics')


def _compares(metric: BaseMetric) -> bool:
    return isinstance(metric, IoUMetric) and not metric.format_only


def _with_mask(sample: dict, ignore_index: int) -> dict:
    """Return a sample that has a mask; ignored pixels change no area."""
    if 'gt_sem_seg' in sample:
        return sample
    return dict(sample, gt_sem_seg=dict(data=torch.full_like(sample['pred_sem_seg']['data'], ignore_index)))

"""mIoU and FB-IoU of few-shot segmentation, for samples with one class each."""
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.checking import check_number

from .zero_shot_iou import ZeroShotIoUMetric, check_labelled, class_iou


@METRICS.register_module()
class FewShotIoUMetric(IoUMetric):
    """IoU of HSNet (Min et al., ICCV 2021) and LSeg (Li et al., ICLR 2022) on PASCAL-5i, COCO-20i and FSS-1000.

    The class of a sample is the second name of its ``vocabulary``, label 1. Label 0 is everything else. Intersections
    and unions are summed over all samples of a class. ``mIoU`` is the mean IoU of label 1 over classes. ``FBIoU`` is
    the mean IoU of both labels after summation over all classes.

    Areas are exact (int64) and stored per sample, so samples repeated by a distributed sampler count once. The mean
    omits classes without pixels in ground truth and prediction. The log names classes without samples. Results are
    percentages without rounding. The attribute ``classes`` keeps name, samples and iou of each class.

    Args:
        ignore_index (int): Ground truth value of ignored pixels.
        **kwargs: ``output_dir``, ``format_only``, ``collect_device`` and ``prefix`` of
            :class:`mmseg.evaluation.IoUMetric`. Label maps are written as ``IMAGE__CLASS.png``.

    Raises:
        UserError: If ``ignore_index`` is not an integer.
    """

    intersect_and_union = staticmethod(ZeroShotIoUMetric.intersect_and_union)
    _path = ZeroShotIoUMetric._path

    def __init__(self, ignore_index: int = 255, **kwargs) -> None:
        check_number('FewShotIoUMetric.ignore_index', ignore_index, whole=True)
        super().__init__(ignore_index=ignore_index, **kwargs)
        self._written = {}
        self.classes: list[dict] = []

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store class and areas of each sample, from label maps (1, H, W).

        Raises:
            UserError: If a sample has no list of two labels, or a label map has another label.
        """
        names = [_class_of(sample) for sample in data_samples]
        start = len(self.results)
        ZeroShotIoUMetric.process(self, data_batch,
                                  [_renamed(sample, name) for sample, name in zip(data_samples, names)])
        self.results[start:] = zip(names, self.results[start:])

    def compute_metrics(self, results: list[tuple[str, Tensor]]) -> dict[str, float]:
        """Sum the areas (3, 2), int64, of each class, log tables and return ``mIoU`` and ``FBIoU`` in percent."""
        if self.format_only:
            return super().compute_metrics(results)
        areas = {}
        for name, area in results:
            areas[name] = areas.get(name, 0) + area
        check_labelled(sum(areas.values()), len(results), self.ignore_index)
        iou = {name: class_iou(area)[1].item() for name, area in areas.items()}
        metrics = {'mIoU': torch.tensor(list(iou.values()), dtype=torch.float64).nanmean().item(),
                   'FBIoU': class_iou(sum(areas.values())).nanmean().item()}
        counts = Counter(name for name, _ in results)
        self.classes = [dict(name=name, samples=counts[name], iou=iou[name]) for name in iou]
        self._log(counts, iou, metrics)
        return metrics

    def _log(self, counts: Counter, iou: dict[str, float], metrics: dict[str, float]) -> None:
        names = dict.fromkeys([*self.dataset_meta.get('episode_classes', ()), *counts])
        without = [name for name in names if name not in counts]
        table, summary = PrettyTable(['Class', 'Samples', 'IoU']), PrettyTable(['mIoU', 'FB-IoU'])
        for name in names:
            table.add_row([name, counts[name], f'{iou[name]:.2f}' if name in iou else '-'])
        summary.add_row([f'{value:.2f}' for value in metrics.values()])
        note = f', none for {", ".join(without)} (omitted)' if without else ''
        title = f'One class against others: {counts.total()} samples of {len(counts)} classes{note}.'
        print_log(f'{title}\n{table}\n{summary}', MMLogger.get_current_instance())


def _class_of(sample: dict) -> str:
    names = list(sample.get('vocabulary', ()))
    if len(names) != 2:
        raise UserError(f'The vocabulary of {sample.get("img_path", "a sample")!r} is {names or "missing"}: '
                        'FewShotIoUMetric expects two names, others and a class; use a data set of episodes, such as '
                        'PASCAL5iDataset, with PackVocabulary at the end of its pipeline.')
    return names[1]


def _renamed(sample: dict, name: str) -> dict:
    # mmseg names label maps by images, but an image can have several classes, and all folders of FSS-1000 have 1.jpg.
    stem = Path(sample.get('img_path', '')).stem
    return dict(sample, img_path=re.sub(r'[^\w.-]+', '_', f'{stem}__{name}') + '.png')

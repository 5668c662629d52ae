"""mIoU and FB-IoU of few-shot segmentation, for samples of which each looks for one class."""
import re
from collections import Counter
from pathlib import Path
from typing import Sequence

import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor

from mmseg_mvp.checking import check_number
from mmseg_mvp.errors import UserError

from .zero_shot_iou import ZeroShotIoUMetric, class_iou


@METRICS.register_module()
class FewShotIoUMetric(IoUMetric):
    """IoU as HSNet (Min et al., ICCV 2021) and LSeg (Li et al., ICLR 2022) report it on PASCAL-5i, COCO-20i, FSS-1000.

    The class of a sample is the second name of its ``label_list``, label 1; label 0 is everything else. Intersections
    and unions are summed over all samples of a class. ``mIoU`` is the mean IoU of label 1 over the classes, and
    ``FBIoU`` the mean of the two labels' IoU after summing over all classes as well. Areas are exact (int64), kept per
    sample so that samples which a distributed sampler repeats to fill its last batch are counted once. A class that
    occurs in neither ground truth nor prediction is left out of the mean, and one without any sample is told. Returned
    are unrounded percentages.

    Args:
        ignore_index: Ground truth value that does not count.
        **kwargs: ``output_dir``, ``format_only``, ``collect_device`` and ``prefix`` of
            :class:`mmseg.evaluation.IoUMetric`. A label map is written as ``IMAGE__CLASS.png``.
    """

    intersect_and_union = staticmethod(ZeroShotIoUMetric.intersect_and_union)

    def __init__(self, ignore_index: int = 255, **kwargs) -> None:
        check_number('FewShotIoUMetric.ignore_index', ignore_index, whole=True)
        super().__init__(ignore_index=ignore_index, **kwargs)

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep class and areas of each sample.

        Args:
            data_batch: Not used.
            data_samples: With ``pred_sem_seg`` and ``gt_sem_seg``, (1, H, W) each, and ``label_list``.

        Raises:
            UserError: A sample has no list of two labels, or a label map another label.
        """
        names = [_class_of(sample) for sample in data_samples]
        start = len(self.results)
        super().process(data_batch, [_renamed(sample, name) for sample, name in zip(data_samples, names)])
        self.results[start:] = zip(names, self.results[start:])

    def compute_metrics(self, results: list[tuple[str, Tensor]]) -> dict[str, float]:
        """Sum the areas of each class, log the tables and return the figures.

        Args:
            results: Class and areas of each sample, (3, 2) int64.

        Returns:
            Percentages, unrounded: ``mIoU`` and ``FBIoU``.
        """
        if self.format_only:
            return super().compute_metrics(results)
        areas = {}
        for name, area in results:
            areas[name] = areas.get(name, 0) + area
        iou = {name: class_iou(area)[1].item() for name, area in areas.items()}
        metrics = {'mIoU': torch.tensor(list(iou.values()), dtype=torch.float64).nanmean().item(),
                   'FBIoU': class_iou(sum(areas.values())).nanmean().item()}
        self._log(Counter(name for name, _ in results), iou, metrics)
        return metrics

    def _log(self, counts: Counter, iou: dict[str, float], metrics: dict[str, float]) -> None:
        names = dict.fromkeys([*self.dataset_meta.get('episode_classes', ()), *counts])
        without = [name for name in names if name not in counts]
        table, summary = PrettyTable(['Class', 'Samples', 'IoU']), PrettyTable(['mIoU', 'FB-IoU'])
        for name in names:
            table.add_row([name, counts[name], f'{iou[name]:.2f}' if name in iou else '-'])
        summary.add_row([f'{value:.2f}' for value in metrics.values()])
        note = f', none for {", ".join(without)}, which count for nothing' if without else ''
        print_log(f'Others or a class: {counts.total()} samples for {len(counts)} classes{note}.\n{table}\n{summary}',
                  MMLogger.get_current_instance())


def _class_of(sample: dict) -> str:
    names = list(sample.get('label_list', ()))
    if len(names) != 2:
        raise UserError(f'FewShotIoUMetric takes samples with a label_list of two, others and a class, and '
                        f'{sample.get("img_path", "a sample")!r} has {names or "none"}: test a data set of episodes, '
                        'such as PASCAL5iDataset, and end its pipeline with PackLabelList.')
    return names[1]


def _renamed(sample: dict, name: str) -> dict:
    # The host names its label maps by images. One image may be asked for several classes, and every category of
    # FSS-1000 has a 1.jpg.
    stem = Path(sample.get('img_path', '')).stem
    return dict(sample, img_path=re.sub(r'[^\w.-]+', '_', f'{stem}__{name}') + '.png')

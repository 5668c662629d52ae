"""Metrics of generalised zero-shot segmentation: one prediction over all classes, averages over seen and unseen ones.

mIoU(S), mIoU(U) and their harmonic mean follow ZS3Net (Bucher et al., NeurIPS 2019) and SPNet (Xian et al., CVPR 2019).
"""
import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import MMLogger, print_log
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from prettytable import PrettyTable
from torch import Tensor

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import STORE_AS_1
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.masks import write_label_map
from mmseg_mvp.vocabularies import class_names, split_names

# Keys have no parentheses, because --cfg-options parses these as tuples, and save_best uses keys in file names.
TITLES = {'mIoU': 'mIoU', 'mIoU_S': 'mIoU(S)', 'mIoU_U': 'mIoU(U)', 'hIoU': 'hIoU',
          'pAcc': 'pAcc', 'pAcc_S': 'pAcc(S)', 'pAcc_U': 'pAcc(U)'}


@METRICS.register_module()
class ZeroShotIoUMetric(IoUMetric):
    """IoU and pixel accuracy over all, seen and unseen classes.

    Predictions cover all classes of the data set; only the averages separate seen and unseen classes. Results are
    percentages without rounding: ``mIoU``, ``mIoU_S``, ``mIoU_U``, ``hIoU``, ``pAcc``, ``pAcc_S``, ``pAcc_U``. Without
    unseen classes, they are ``mIoU`` and ``pAcc``. ``pAcc_S`` is the accuracy over pixels with a seen class as ground
    truth.

    Areas are exact (int64) and stored per image, so images repeated by a distributed sampler count once. Means omit
    classes without pixels in ground truth and prediction. The log names classes without labelled pixels and explains
    nan. With ``output_dir``, label maps are written as PNG of 8 bits, or 16 bits if the classes need them. The
    attribute ``classes`` keeps the table of the last evaluation: a dict with name, split, iou and acc of each class.

    Args:
        unseen (str | Sequence[str], optional): Unseen classes: a split such as ``'voc20:unseen'``, a file of class
            names or a list of class names.
        ignore_index (int): Ground truth value of ignored pixels.
        **kwargs: ``output_dir``, ``format_only``, ``collect_device`` and ``prefix`` of
            :class:`mmseg.evaluation.IoUMetric`.

    Raises:
        UserError: If ``unseen`` cannot be read, or ``ignore_index`` is not an integer.
    """

    def __init__(self, unseen: str | Sequence[str] | None = None, ignore_index: int = 255, **kwargs) -> None:
        super().__init__(ignore_index=ignore_index, **kwargs)
        check_number(f'{type(self).__name__}.ignore_index', ignore_index, whole=True)
        self.unseen = class_names(unseen) if unseen else []
        self.classes: list[dict] = []
        self._written: dict[Path, str] = {}

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the data set, with every unseen class in ``classes``."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, meta: dict) -> None:
        # Fail early instead of at the first evaluation.
        split_names((meta or {}).get('classes'), self.unseen, 'the evaluated data set')
        self._dataset_meta = meta

    @staticmethod
    def intersect_and_union(pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int) -> Tensor:
        """Count the pixels of intersection, prediction and ground truth of each class: (3, C) int64.

        Args:
            pred_label (Tensor): Predicted classes, (H, W), integers.
            label (Tensor): True classes, (H, W), integers.
            num_classes (int): Number of classes C.
            ignore_index (int): Value of ignored pixels in ``label``.

        Raises:
            UserError: If a value is out of range, or the shapes or types do not fit.
        """
        if pred_label.shape != label.shape or pred_label.is_floating_point() or label.is_floating_point():
            raise UserError(f'The prediction is {pred_label.dtype} {tuple(pred_label.shape)} and the ground truth '
                            f'{label.dtype} {tuple(label.shape)}: expected two integer label maps (H, W) of one size; '
                            f'resize both to the original image.')
        counted = label != ignore_index
        pred_label, label = pred_label[counted].long(), label[counted].long()
        _check_range(label, num_classes, 'The ground truth', 'set other pixels to the ignore index')
        _check_range(pred_label, num_classes, 'The prediction', 'set test_classes to those of the data set')
        return torch.stack([torch.bincount(values, minlength=num_classes).cpu()
                            for values in (label[pred_label == label], pred_label, label)])

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the areas of each sample and write its label map, from label maps (1, H, W)."""
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            predicted = sample['pred_sem_seg']['data'][0]
            if not self.format_only:
                label = sample['gt_sem_seg']['data'][0].to(predicted.device)
                self.results.append(self.intersect_and_union(predicted, label, num_classes, self.ignore_index))
            if self.output_dir is not None:
                path = self._path(sample['img_path'])
                write_label_map(predicted.cpu().numpy(), path, num_classes, bool(sample.get('reduce_zero_label')))

    def _path(self, image: str) -> Path:
        """Return the path of a label map; refuse two images of one name, since the second would overwrite the first."""
        path = Path(self.output_dir, f'{Path(image).stem}.png')
        first = self._written.setdefault(path, image)
        if first != image:
            raise UserError(f'{first!r} and {image!r} have one label map, {path}: remove output_dir from the metric, '
                            f'and run tools/test.py --out, which gives each image a name of its own.')
        return path

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Sum the areas (3, C), int64, of all images, log tables and return the metrics in percent.

        Raises:
            UserError: If no image has a labelled pixel.
        """
        if self.format_only:
            return super().compute_metrics(results)
        # (images, 3, C) -> (3, C)
        areas = torch.stack([*results, torch.zeros(3, len(self.dataset_meta['classes'])).long()]).sum(0)
        check_labelled(areas, len(results), self.ignore_index)
        is_unseen = torch.tensor([name in self.unseen for name in self.dataset_meta['classes']])
        metrics = zero_shot_metrics(areas, is_unseen)
        self._log(areas, metrics)
        return metrics

    def _log(self, areas: Tensor, metrics: dict[str, float]) -> None:
        names = self.dataset_meta['classes']
        unseen = [name for name in names if name in self.unseen]
        table = PrettyTable(['Class', 'Split', 'IoU', 'Acc'])
        acc = 100 * areas[0].double() / areas[2]
        self.classes = [dict(name=name, split='unseen' if name in unseen else 'seen', iou=iou, acc=acc)
                        for name, iou, acc in zip(names, class_iou(areas).tolist(), acc.tolist())]
        for one in self.classes:
            table.add_row([one['name'], one['split'], f'{one["iou"]:.2f}', f'{one["acc"]:.2f}'])
        summary = PrettyTable([TITLES[key] for key in metrics])
        summary.add_row([f'{value:.2f}' for value in metrics.values()])
        print_log(f'Label set: all {len(names)} classes of the data set, {len(names) - len(unseen)} seen and '
                  f'{len(unseen)} unseen ({", ".join(unseen) or "none"}).\n{table}\n{summary}',
                  MMLogger.get_current_instance())
        for sentence in gaps(areas, names):
            print_log(sentence, MMLogger.get_current_instance(), logging.WARNING)


def check_labelled(areas: Tensor, count: int, ignore_index: int) -> None:
    """Raise UserError if the areas (3, C) of ``count`` images hold no labelled pixel."""
    if not areas[2].any():
        raise UserError(f'None of the {count} ground truth masks has a labelled pixel, so nothing was measured: all '
                        f'pixels have the ignored label {ignore_index}: {STORE_AS_1}.')


def gaps(areas: Tensor, names: Sequence[str]) -> list[str]:
    """Return sentences about classes without labelled pixels and about nan in the table of areas (3, C)."""
    missing = [name for name, labelled in zip(names, areas[2].tolist()) if not labelled]
    if not missing:
        return []
    sentences = [f'{len(missing)} of {len(names)} classes have no labelled pixel in the ground truth: '
                 f'{", ".join(missing)}. Their Acc is nan. Their IoU is 0 if they were predicted, else nan. Means omit '
                 f'nan, and a mean over nan only is nan.']
    if len(missing) == len(names) - 1 and len(names) > 1:
        sentences.append(f'The ground truth holds a single class, so the figures say nothing about the classes: '
                         f'{STORE_AS_1}.')
    return sentences


def class_iou(areas: Tensor) -> Tensor:
    """Compute the IoU (C,), float64, in percent from areas (3, C); nan for classes without pixels."""
    intersection, predicted, labelled = areas.double()
    return 100 * intersection / (predicted + labelled - intersection)


def zero_shot_metrics(areas: Tensor, is_unseen: Tensor) -> dict[str, float]:
    """Compute percentages by the keys of ``TITLES`` from areas (3, C) and a bool mask (C,) of unseen classes.

    ``hIoU`` is 2 S U / (S + U), or 0 if S and U are 0.
    """
    iou, everything = class_iou(areas), torch.ones_like(is_unseen)
    if not is_unseen.any():
        return {'mIoU': iou.nanmean().item(), 'pAcc': _accuracy(areas, everything)}
    seen, unseen = iou[~is_unseen].nanmean().item(), iou[is_unseen].nanmean().item()
    return {'mIoU': iou.nanmean().item(), 'mIoU_S': seen, 'mIoU_U': unseen,
            'hIoU': 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.,
            'pAcc': _accuracy(areas, everything), 'pAcc_S': _accuracy(areas, ~is_unseen),
            'pAcc_U': _accuracy(areas, is_unseen)}


def _accuracy(areas: Tensor, classes: Tensor) -> float:
    correct, _, labelled = areas[:, classes].sum(1).double()
    return (100 * correct / labelled).item()


def _check_range(values: Tensor, num_classes: int, what: str, remedy: str) -> None:
    if values.numel() and (values.min() < 0 or values.max() >= num_classes):
        value = values.min() if values.min() < 0 else values.max()
        raise UserError(f'{what} has the label {value.item()}, but the data set has {num_classes} classes, 0 to '
                        f'{num_classes - 1}: {remedy}.')

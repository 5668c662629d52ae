"""Hides labels from training without forgetting them: some classes, or all."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import HIDDEN, IGNORE, UNKNOWN
from mmseg_mvp.vocabularies import class_names, split_names
from mmseg_mvp.vocabularies.parsing import Source

_STRAY = 2**16 - 1  # what the table says of a value that is no label


@TRANSFORMS.register_module()
class HideClasses(BaseTransform):
    """Hides the pixels of unseen classes: their label c becomes ``HIDDEN + c`` (see :mod:`mmseg_mvp.labels`).

    Stands right after the labels are loaded (and so after ``reduce_zero_label`` and the label map), in the pipeline of
    a data set with all classes. Ignored pixels stay 255, other labels stay as they are.

    Args:
        classes: All classes of the data set in the order of its labels, as
            :func:`mmseg_mvp.vocabularies.load_vocabulary` reads them: ``'voc20'``, a ``.txt`` file, a list of names.
        unseen: Those to hide: ``'voc20:unseen'``, a ``.txt`` file, a list of names.

    Raises:
        UserError: No class is unseen, an unseen class is not among the classes, or there are more classes than labels
            below 255.
    """

    def __init__(self, classes: Source, unseen: Source) -> None:
        if not unseen:
            raise UserError("HideClasses has no unseen class: name those to hide, such as unseen='voc20:unseen', or "
                            'leave HideClasses out of the pipeline.')
        names = class_names(classes)
        _, hidden = split_names(names, class_names(unseen), 'HideClasses')
        if len(names) > IGNORE:
            raise UserError(f'HideClasses has {len(names)} classes: give it at most {IGNORE}, since label {IGNORE} '
                            'marks ignored pixels.')
        self.num_classes = len(names)
        self._table = _label_table(self.num_classes, [names.index(name) for name in hidden])

    def transform(self, results: dict) -> dict:
        """Hide labels.

        Args:
            results: ``gt_seg_map`` (H, W), uint8 as loaded or any other integer type.

        Returns:
            The same, with ``gt_seg_map`` (H, W) uint16.

        Raises:
            UserError: There is no mask, its data set keeps another number of classes, or it holds a label that is
                neither a class nor 255, above all one that is hidden already.
        """
        self._check_data_set(results)
        labels = np.asarray(results['gt_seg_map'])
        if labels.dtype.kind not in 'biu':
            raise UserError(f'HideClasses got a mask of type {labels.dtype} for image {results.get("img_path")!r}: '
                            'expected integers.')
        known = labels
        if labels.dtype.itemsize > 4:  # 2**32 must not become 0
            known = np.where((labels < 0) | (labels > _STRAY), _STRAY, labels)
        # As unsigned numbers, labels below 0 are beyond the table like those above it; its last value is a stray.
        hidden = np.take(self._table, known.astype(np.uint32), mode='clip')
        if (hidden == _STRAY).any():
            raise UserError(self._stray(labels[hidden == _STRAY].max(), results))
        results['gt_seg_map'] = hidden
        return results

    def _check_data_set(self, results: dict) -> None:
        if 'gt_seg_map' not in results:
            raise UserError(f'HideClasses finds no mask for image {results.get("img_path")!r}: load the labels before '
                            'it, or take HideEverything to train without masks.')
        kept = set((results.get('label_map') or {}).values()) - {IGNORE}
        if kept and len(kept) != self.num_classes:
            raise UserError(f'HideClasses has {self.num_classes} classes and its data set keeps {len(kept)}: let '
                            "metainfo list all classes, seen and unseen, in HideClasses' order.")

    def _stray(self, label: int, results: dict) -> str:
        what = f'Mask {results.get("seg_map_path", results.get("img_path"))!r} holds the label {label}'
        if label >= HIDDEN:
            return (f'{what}, and labels from {HIDDEN} on are those of hidden classes: hide classes once, right after '
                    'loading masks of 8 bits.')
        return (f'{what}, and HideClasses has {self.num_classes} classes, 0 to {self.num_classes - 1}: give it all '
                f'classes of the data set, and mark other pixels with {IGNORE}.')


@TRANSFORMS.register_module()
class HideEverything(BaseTransform):
    """Hides every pixel, for training without any mask.

    Stands before the crop. Where a mask was loaded, its truth is kept for monitoring, and ignored pixels are hidden
    with unknown truth; without a mask all truth is unknown.
    """

    def transform(self, results: dict) -> dict:
        """Hide all labels.

        Args:
            results: ``img`` (H, W, 3) and, if loaded, ``gt_seg_map`` (H, W).

        Returns:
            The same, with ``gt_seg_map`` (H, W) uint16 among the ``seg_fields``.
        """
        if 'gt_seg_map' not in results:
            results['gt_seg_map'] = np.full(results['img'].shape[:2], IGNORE, np.uint16)
            results.setdefault('seg_fields', []).append('gt_seg_map')
        labels = results['gt_seg_map'].astype(np.uint16)
        labels[labels == IGNORE] = UNKNOWN
        results['gt_seg_map'] = labels | HIDDEN  # one bit, so that what is hidden already stays as it is
        return results


def _label_table(num_classes: int, hidden: list[int]) -> np.ndarray:
    """What becomes of each label, (65536,) uint16."""
    table = np.full(2**16, _STRAY, np.uint16)
    table[:num_classes] = np.arange(num_classes)
    table[hidden] += HIDDEN
    table[IGNORE] = IGNORE
    return table

"""Transforms that hide labels from training but keep the truth for monitoring."""
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import HIDDEN, IGNORE, UNKNOWN
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.vocabularies import class_names, split_names
from mmseg_mvp.vocabularies.parsing import Source

_LARGEST = 2**16 - 1  # largest label of 16 bits
_STRAY = _LARGEST + 1  # table entry for values that are not labels


@TRANSFORMS.register_module()
class HideClasses(BaseTransform):
    """Transform that hides pixels of unseen classes: label c becomes ``HIDDEN + c`` (:mod:`mmseg_mvp.labels`).

    It follows directly after the loading of labels, in the pipeline of a data set with all classes. Ignored pixels and
    other labels stay unchanged.

    Args:
        classes (Source): All classes in the order of the labels, see :func:`mmseg_mvp.vocabularies.load_vocabulary`.
        unseen (Source): Classes to hide, such as ``'voc20:unseen'``.
        ignore_index (int): Label of ignored pixels.

    Raises:
        UserError: If ``unseen`` is empty or not a subset of ``classes``, or ``ignore_index`` is a class or reserved.
    """

    def __init__(self, classes: Source, unseen: Source, ignore_index: int = IGNORE) -> None:
        if not unseen:
            raise UserError("HideClasses has no unseen class: set it to the classes to hide, such as 'voc20:unseen', "
                            'or remove HideClasses from the pipeline.')
        names = class_names(classes)
        _, hidden = split_names(names, class_names(unseen), 'HideClasses')
        _check_ignored('HideClasses', ignore_index)
        if not len(names) <= min(ignore_index, UNKNOWN):
            raise UserError(f'HideClasses has {len(names)} classes: expected at most {min(ignore_index, UNKNOWN)}, '
                            f'since label {ignore_index} marks ignored pixels; set ignore_index to another value, such '
                            f'as 65535, here and in all components, or remove some classes.')
        self.num_classes, self.ignore_index = len(names), ignore_index
        self._table = _label_table(self.num_classes, [names.index(name) for name in hidden], ignore_index)

    def transform(self, results: dict) -> dict:
        """Hide labels in ``gt_seg_map``, (H, W) of any integer type: (H, W) uint16.

        Raises:
            UserError: If there is no mask, the data set keeps another number of classes, or a label is not a class or
                ``ignore_index``, such as a hidden one.
        """
        self._check_data_set(results)
        labels = np.asarray(results['gt_seg_map'])
        if labels.dtype.kind not in 'biu':
            raise UserError(f'HideClasses got a mask of type {labels.dtype} for image {results.get("img_path")!r}: '
                            'expected integers; load it by LoadCheckedAnnotations.')
        known = labels
        if labels.dtype.itemsize > 4:  # uint32 would wrap 2**32 to 0
            known = np.where((labels < 0) | (labels > _LARGEST), _STRAY, labels)
        # As uint32, negative labels exceed the table; mode clip gives its last value, which is a stray.
        hidden = np.take(self._table, known.astype(np.uint32), mode='clip')
        if (is_stray := hidden == _STRAY).any():
            raise UserError(self._stray(labels[is_stray].max(), results))
        results['gt_seg_map'] = hidden.astype(np.uint16)
        return results

    def _check_data_set(self, results: dict) -> None:
        if 'gt_seg_map' not in results:
            raise UserError(f'HideClasses got no mask for image {results.get("img_path")!r}: load the labels before '
                            'HideClasses, or use HideEverything to train without masks.')
        kept = set((results.get('label_map') or {}).values()) - set(range(self.num_classes, IGNORE + 1))
        if kept and len(kept) != self.num_classes:
            raise UserError(f'HideClasses has {self.num_classes} classes, but its data set keeps {len(kept)}: list '
                            'all classes, seen and unseen, in metainfo in the order of HideClasses.')

    def _stray(self, label: int, results: dict) -> str:
        what = f'Mask {results.get("seg_map_path", results.get("img_path"))!r} has the label {label}'
        if label >= HIDDEN:
            return (f'{what}, but labels from {HIDDEN} are reserved for hidden classes: use HideClasses once, '
                    'directly after the loading of masks.')
        return (f'{what}, but HideClasses has {self.num_classes} classes, 0 to {self.num_classes - 1}: list all '
                f'classes of the data set, and set other pixels to {self.ignore_index}.')


@TRANSFORMS.register_module()
class HideEverything(BaseTransform):
    """Transform that hides every pixel, for training without masks.

    It precedes the crop. The truth of a loaded mask is kept for monitoring, and its ignored pixels become hidden pixels
    with unknown truth. Without a mask, all truth is unknown.

    Args:
        ignore_index (int): Label of ignored pixels.

    Raises:
        UserError: If ``ignore_index`` is reserved.
    """

    def __init__(self, ignore_index: int = IGNORE) -> None:
        _check_ignored('HideEverything', ignore_index)
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Hide all labels in ``gt_seg_map``, (H, W), or create it for ``img`` (H, W, 3): (H, W) uint16."""
        if 'gt_seg_map' not in results:
            results['gt_seg_map'] = np.full(results['img'].shape[:2], self.ignore_index, np.uint16)
            results.setdefault('seg_fields', []).append('gt_seg_map')
        labels = results['gt_seg_map'].astype(np.uint16)
        labels[labels == self.ignore_index] = UNKNOWN
        results['gt_seg_map'] = labels | HIDDEN  # one bit, so hidden labels stay unchanged
        return results


def _check_ignored(kind: str, ignore_index: int) -> None:
    check_number(f'{kind}.ignore_index', ignore_index, least=0, most=_LARGEST, whole=True)
    if UNKNOWN <= ignore_index < _LARGEST:
        raise UserError(f'{kind}.ignore_index is {ignore_index}, but labels from {UNKNOWN} are reserved for hidden '
                        f'classes: use a value below {UNKNOWN}, or {_LARGEST}.')


def _label_table(num_classes: int, hidden: list[int], ignore_index: int) -> np.ndarray:
    """Return a look-up table (65537,) int32 from labels to hidden labels."""
    table = np.full(_STRAY + 1, _STRAY, np.int32)
    table[:num_classes] = np.arange(num_classes)
    table[hidden] += HIDDEN
    table[ignore_index] = ignore_index
    return table

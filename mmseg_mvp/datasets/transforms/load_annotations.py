"""Loading of label masks with checks against the image and the label set."""
import cv2
import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.checking import check_number
from mmseg_mvp.utils.masks import Mask, decode_mask, unreadable

from .orientation import placed


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` for masks of 8, 16 and 32 bits, with checks of the mask.

    Images without a mask pass unchanged, because mmseg's ``inference_model`` runs the test pipeline on single images.

    Args:
        num_classes (int): Number of classes in the files of the data set, which may exceed the trained classes.
        ignore_index (int): Value of ignored pixels, in the files and in the result. Set the same value in
            ``decode_head``, the metrics, ``CountingRandomCrop`` and ``HideClasses``. Beyond 255 classes it must not be
            255.
        reduce_zero_label (bool, optional): As in mmseg; set it in the data set.
        backend_args (dict, optional): Arguments of mmengine's file backend.

    Raises:
        UserError: If the number of classes is not in 1 to 65535, or ``ignore_index`` is not an integer of 32 bits or is
            255 with more than 255 classes.
    """

    def __init__(self, num_classes: int, ignore_index: int = IGNORE, reduce_zero_label: bool | None = None,
                 backend_args: dict | None = None) -> None:
        super().__init__(reduce_zero_label, backend_args)
        check_number('LoadCheckedAnnotations.num_classes', num_classes, least=1, most=2**16 - 1, whole=True)
        check_number('LoadCheckedAnnotations.ignore_index', ignore_index, least=-2**31, most=2**31 - 1, whole=True)
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self._check_ignored()
        self._dtype = next(dtype for dtype in (np.uint8, np.uint16, np.int32)
                           if np.iinfo(dtype).min <= ignore_index <= np.iinfo(dtype).max >= num_classes - 1)

    def _check_ignored(self) -> None:
        if self.ignore_index == IGNORE < self.num_classes:
            raise UserError(f'LoadCheckedAnnotations has {self.num_classes} classes, so {IGNORE} is a class and cannot '
                            f'mark ignored pixels: set ignore_index to another value, such as 65535, here, in '
                            f'decode_head, the metrics, CountingRandomCrop and HideClasses.')

    def transform(self, results: dict) -> dict:
        """Load the mask of ``results['seg_map_path']``, if present."""
        return super().transform(results) if 'seg_map_path' in results else results

    def _load_seg_map(self, results: dict) -> None:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W).

        The type is uint8 if it can hold all classes and ``ignore_index``, else uint16 or int32.

        Raises:
            UserError: If the mask cannot be read, is not one channel of integers, has another size than the image or a
                value out of range, or if ``reduce_zero_label`` differs from the data set.
        """
        path = results['seg_map_path']
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except Exception as error:  # storage backends raise their own exceptions
            raise UserError(unreadable(f'Mask {path!r}', error)) from error
        mask = placed(self._decode(content, f'Mask {path!r}'), results)
        self._check_size(mask, results)
        results['gt_seg_map'] = self._labels(mask, results)
        results['seg_fields'].append('gt_seg_map')

    def _decode(self, content: bytes, name: str) -> Mask:
        return decode_mask(content, name)

    def _labels(self, mask: np.ndarray, results: dict) -> np.ndarray:
        """Convert the values of a mask (H, W) to labels (H, W)."""
        if mask.dtype != np.uint8:
            labels = self._relabelled(mask, results)
            self._check_values(labels, results)
            return labels.astype(self._dtype)
        labels = cv2.LUT(mask, self._relabelled(np.arange(256), results).astype(self._dtype))
        self._check_values(labels, results)
        return labels

    def _relabelled(self, values: np.ndarray, results: dict) -> np.ndarray:
        """Apply mmseg's ``reduce_zero_label``, then its ``label_map``, to values of any shape: labels, int64."""
        shift = self._shift(results)
        labels = values.astype(np.int64) - shift
        labels[(values == self.ignore_index) | (labels < 0) & (values == 0)] = self.ignore_index
        if results.get('label_map'):
            table = self._label_map(results['label_map'])
            is_class = (labels >= 0) & (labels < len(table)) & (labels != self.ignore_index)
            labels[is_class] = table[labels[is_class]]
        return labels

    def _shift(self, results: dict) -> int:
        reduce_zero_label = results['reduce_zero_label']
        if self.reduce_zero_label not in (None, reduce_zero_label):
            raise UserError(f'LoadCheckedAnnotations has reduce_zero_label={self.reduce_zero_label}, but its data set '
                            f'has {reduce_zero_label}: set it in the data set only.')
        return int(reduce_zero_label)

    def _label_map(self, label_map: dict[int, int]) -> np.ndarray:
        """Convert mmseg's ``label_map`` to a table of all labels. mmseg marks excluded classes by 255."""
        labels = list(label_map.values())
        is_class = max(labels) > IGNORE and labels.count(IGNORE) == 1
        if len(set(labels)) > IGNORE and not is_class:
            raise UserError(f'The data set keeps more than {IGNORE} of {len(labels)} classes, and mmseg marks the '
                            f'others by {IGNORE}, which is a kept class as well: keep all classes in metainfo, or at '
                            f'most {IGNORE - 1}.')
        new = np.arange(max(self.num_classes, *(old + 1 for old in label_map)))
        for old, label in label_map.items():
            new[old] = self.ignore_index if label == IGNORE and not is_class else label
        return new

    def _check_size(self, mask: np.ndarray, results: dict) -> None:
        found, expected = mask.shape, results['ori_shape']
        if tuple(found) != tuple(expected):
            raise UserError(f'Mask {results["seg_map_path"]!r} is {found[1]} x {found[0]} pixels but its image is '
                            f'{expected[1]} x {expected[0]}: use a mask of the same size.')

    def _check_values(self, labels: np.ndarray, results: dict) -> None:
        stray = (labels >= self.num_classes) | (labels < 0)  # label_map changes only values below num_classes
        stray &= labels != self.ignore_index
        if stray.any():
            shift = int(results['reduce_zero_label'])
            raise UserError(f'Mask {results["seg_map_path"]!r} has the label value {labels[stray].max() + shift}, but '
                            f'the data set has {self.num_classes} classes, values {shift} to '
                            f'{self.num_classes - 1 + shift}: convert the masks as documented for the data set, or set '
                            f'other pixels to {self.ignore_index}.')

"""Loading of label masks with checks against the image and the label set."""
import io

import cv2
import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import IGNORE
from mmseg_mvp.utils.checking import check_number


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` with checks of the mask.

    The file is read once, and one table look-up renumbers the labels. Images without a mask pass unchanged, because
    mmseg's ``inference_model`` runs the test pipeline on single images.

    Args:
        num_classes (int): Number of classes in the files of the data set, which may exceed the trained classes.
        **kwargs: Arguments of :class:`mmseg.datasets.transforms.LoadAnnotations`.

    Raises:
        UserError: If the number of classes is not in 1 to 256.
    """

    def __init__(self, num_classes: int, **kwargs) -> None:
        super().__init__(**kwargs)
        check_number('LoadCheckedAnnotations.num_classes', num_classes, least=1, most=256, whole=True)
        self.num_classes = num_classes

    def transform(self, results: dict) -> dict:
        """Load the mask of ``results['seg_map_path']``, if present."""
        return super().transform(results) if 'seg_map_path' in results else results

    def _load_seg_map(self, results: dict) -> None:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W) uint8.

        Raises:
            UserError: If the mask cannot be read, is not one channel of at most 8 bits, has another size than the image
                or a value out of range, or if ``reduce_zero_label`` differs from the data set.
        """
        path = results['seg_map_path']
        try:
            content = fileio.get(path, backend_args=self.backend_args)
            mask = self._decode(path, content)
        except UserError:
            raise
        except Exception as error:  # backends and decoders raise their own exceptions
            reason = str(error).partition('\n')[0].partition(' <_io')[0] or type(error).__name__
            raise UserError(f'Mask {path!r} cannot be read ({reason}): replace the file by an intact copy, or remove '
                            'its name from the split file.') from error
        results['gt_seg_map'] = cv2.LUT(mask, self._label_table(results))
        results['seg_fields'].append('gt_seg_map')
        self._check_size(results)
        self._check_values(results)

    def _decode(self, path: str, content: bytes) -> np.ndarray:
        self._check_format(path, content)
        return mmcv.imfrombytes(content, flag='unchanged', backend=self.imdecode_backend).squeeze().astype(np.uint8)

    def _label_table(self, results: dict) -> np.ndarray:
        """Return labels (256,) uint8 of all file values: mmseg's ``reduce_zero_label``, then its ``label_map``."""
        reduce_zero_label = results['reduce_zero_label']
        if self.reduce_zero_label not in (None, reduce_zero_label):
            raise UserError(f'LoadCheckedAnnotations has reduce_zero_label={self.reduce_zero_label}, but its data set '
                            f'has {reduce_zero_label}: set it in the data set only.')
        labels = np.arange(256, dtype=np.uint8)
        if reduce_zero_label:
            labels = np.roll(labels, 1)  # 0 becomes 255, 1 becomes 0
            labels[IGNORE] = IGNORE
        table = labels.copy()
        for old, new in (results.get('label_map') or {}).items():
            table[labels == old] = new
        return table

    @staticmethod
    def _check_format(path: str, content: bytes) -> None:
        # mmseg casts to uint8, which turns 300 into class 44. Image.open decodes only the header.
        with Image.open(io.BytesIO(content)) as mask:
            if mask.mode not in ('1', 'L', 'P'):
                raise UserError(f'Mask {path!r} has pixels of mode {mask.mode!r}: store labels as a PNG with one '
                                "channel of 8 bits (modes 'L' or 'P').")

    def _check_size(self, results: dict) -> None:
        found, expected = results['gt_seg_map'].shape, results['ori_shape']
        if tuple(found) != tuple(expected):
            raise UserError(f'Mask {results["seg_map_path"]!r} is {found[1]} x {found[0]} pixels but its image is '
                            f'{expected[1]} x {expected[0]}: use a mask of the same size.')

    def _check_values(self, results: dict) -> None:
        # label_map changes only values below num_classes.
        present = np.bincount(results['gt_seg_map'].ravel(), minlength=256).astype(bool)
        present[:self.num_classes] = present[IGNORE] = False
        if present.any():
            shift = int(results['reduce_zero_label'])
            value = int(present.argmax()) + shift
            raise UserError(f'Mask {results["seg_map_path"]!r} has the label value {value}, but the data set has '
                            f'{self.num_classes} classes, values {shift} to {self.num_classes - 1 + shift}: convert '
                            'the masks as documented for the data set, or set other pixels to 255.')

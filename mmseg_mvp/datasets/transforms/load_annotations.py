"""Loads a label mask, or says which one does not fit its image or the label set."""
import io

import mmengine.fileio as fileio
import numpy as np
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_mvp.errors import UserError

_IGNORE = 255


@TRANSFORMS.register_module()
class LoadCheckedAnnotations(LoadAnnotations):
    """mmseg's ``LoadAnnotations`` that refuses masks which cannot be right.

    An image without a mask passes: mmseg's ``inference_model`` runs the test pipeline on images of a user.

    Args:
        num_classes: Number of classes in the data set's files (not of those trained on).
        **kwargs: Passed on to :class:`mmseg.datasets.transforms.LoadAnnotations`.
    """

    def __init__(self, num_classes: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes

    def transform(self, results: dict) -> dict:
        """Load the mask that ``results['seg_map_path']`` names, if there is one."""
        return super().transform(results) if 'seg_map_path' in results else results

    def _load_seg_map(self, results: dict) -> None:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W) uint8.

        Raises:
            UserError: The mask cannot be read, is not one channel of at most 8 bits, differs from the image in size, or
                holds a value that is neither a class nor ignored.
        """
        path = results['seg_map_path']
        try:
            self._check_format(path)
            super()._load_seg_map(results)
        except UserError:
            raise
        except Exception as error:  # each storage backend and decoder has exceptions of its own
            reason = str(error).partition('\n')[0].partition(' <_io')[0] or type(error).__name__
            raise UserError(f'Mask {path!r} cannot be read ({reason}): replace the file by an intact copy or take its '
                            'name off the split file.') from error
        self._check_size(results)
        self._check_values(results)

    def _check_format(self, path: str) -> None:
        # mmseg casts labels to uint8, so that 300 would arrive as class 44; only the header is decoded here.
        with Image.open(io.BytesIO(fileio.get(path, backend_args=self.backend_args))) as mask:
            if mask.mode not in ('1', 'L', 'P'):
                raise UserError(f'Mask {path!r} has pixels of mode {mask.mode!r}: store labels as a PNG with one '
                                "channel of 8 bits (modes 'L' or 'P').")

    def _check_size(self, results: dict) -> None:
        found, expected = results['gt_seg_map'].shape, results['ori_shape']
        if tuple(found) != tuple(expected):
            raise UserError(f'Mask {results["seg_map_path"]!r} is {found[1]} x {found[0]} pixels and its image '
                            f'{expected[1]} x {expected[0]}: a mask must have the size of its image.')

    def _check_values(self, results: dict) -> None:
        # A label map renumbers classes below num_classes and leaves any other value as it was.
        present = np.bincount(results['gt_seg_map'].ravel(), minlength=256).astype(bool)
        present[:self.num_classes] = present[_IGNORE] = False
        if present.any():
            shift = int(results['reduce_zero_label'])
            value = int(present.argmax()) + shift
            raise UserError(f'Mask {results["seg_map_path"]!r} holds the label value {value}, and the data set has '
                            f'{self.num_classes} classes, values {shift} to {self.num_classes - 1 + shift}: convert '
                            'the masks as the data set is documented, or mark other pixels with 255.')

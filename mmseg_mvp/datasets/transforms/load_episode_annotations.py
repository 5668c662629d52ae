"""Loads the mask of an episode: one class, and everything else."""
import mmcv
import numpy as np
import torch
from mmseg.registry import TRANSFORMS
from torch.nn import functional as F

from .load_annotations import LoadCheckedAnnotations


@TRANSFORMS.register_module()
class LoadEpisodeAnnotations(LoadCheckedAnnotations):
    """Loads a mask as label 1, the values in the sample's ``foreground``, and label 0, all other values.

    255 stays 255, unless it belongs to the foreground. Like its parent it refuses a mask that cannot be right, and
    passes an image that has none.

    Args:
        num_classes: Number of values in the data set's files, the background's included.
        grey: Take the brightness of a mask of any colour mode (FSS-1000), not the one channel of labels.
        at_input_size: For tests, after the image was resized: resize the mask to the image as it is now, and let this
            be the size at which predictions are compared. HSNet and LSeg do so (480 x 480). Otherwise they are compared
            at the size of the file.
        **kwargs: Passed on to :class:`LoadCheckedAnnotations`.
    """

    def __init__(self, num_classes: int, grey: bool = False, at_input_size: bool = False, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.grey = grey
        self.at_input_size = at_input_size

    def _load_seg_map(self, results: dict) -> None:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W) uint8.

        Raises:
            UserError: As in :class:`LoadCheckedAnnotations`.
        """
        super()._load_seg_map(results)
        if self.at_input_size:
            results['ori_shape'] = tuple(results['img_shape'])
            results['gt_seg_map'] = _resize_nearest(results['gt_seg_map'], results['img_shape'])

    def _decode(self, path: str, content: bytes) -> np.ndarray:
        if not self.grey:
            return super()._decode(path, content)
        return mmcv.imfrombytes(content, flag='grayscale', backend=self.imdecode_backend)

    def _label_table(self, results: dict) -> np.ndarray:
        """Label of each value in the file, (256,) uint8; values that the data set does not know stay as they are."""
        lowest, highest = results['foreground']
        table = np.arange(256, dtype=np.uint8)
        table[:self.num_classes] = 0
        table[lowest:highest + 1] = 1
        return table


def _resize_nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # The published test resizes by torch; OpenCV rounds otherwise for some sizes, and Pillow takes other pixels.
    return F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode='nearest')[0, 0].byte().numpy()

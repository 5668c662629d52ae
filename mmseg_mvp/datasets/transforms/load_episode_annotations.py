"""Loading of episode masks: one class against all others."""
import numpy as np
import torch
from mmseg.registry import TRANSFORMS
from torch.nn import functional as F

from mmseg_mvp.utils.masks import Mask, decode_mask

from .load_annotations import LoadCheckedAnnotations


@TRANSFORMS.register_module()
class LoadEpisodeAnnotations(LoadCheckedAnnotations):
    """Transform that loads a mask as label 1 (values in the sample's ``foreground``) and label 0 (other values).

    ``ignore_index`` stays unchanged, unless it belongs to the foreground. The checks are those in
    :class:`LoadCheckedAnnotations`.

    Args:
        num_classes (int): Number of values in the files of the data set, with the background.
        grey (bool): If True, read masks of any colour mode as grey (FSS-1000). If False, read one channel of labels.
        at_input_size (bool): If True, resize the mask to the current image, and set ``ori_shape`` to this size, at
            which predictions are evaluated, as in HSNet and LSeg (480 x 480). Use it in tests, after the resize of the
            image. If False, evaluation uses the size of the file.
        **kwargs: Arguments of :class:`LoadCheckedAnnotations`.
    """

    def __init__(self, num_classes: int, grey: bool = False, at_input_size: bool = False, **kwargs) -> None:
        super().__init__(num_classes, **kwargs)
        self.grey = grey
        self.at_input_size = at_input_size

    def _load_seg_map(self, results: dict) -> None:
        """Load ``results['seg_map_path']`` into ``results['gt_seg_map']``, (H, W)."""
        super()._load_seg_map(results)
        if self.at_input_size:
            results['ori_shape'] = tuple(results['img_shape'])
            results['gt_seg_map'] = _resize_nearest(results['gt_seg_map'], results['img_shape'])

    def _check_ignored(self) -> None:
        """Accept all values: the foreground may contain ``ignore_index``."""

    def _decode(self, content: bytes, name: str) -> Mask:
        return decode_mask(content, name, self.grey)

    def _relabelled(self, values: np.ndarray, results: dict) -> np.ndarray:
        """Return labels, int64, of values of any shape; values outside the data set stay unchanged."""
        lowest, highest = results['foreground']
        labels = np.where((values >= 0) & (values < self.num_classes), 0, values.astype(np.int64))
        labels[(values >= lowest) & (values <= highest)] = 1
        return labels


def _resize_nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # Resize by torch as the published test. OpenCV and Pillow select other pixels for some sizes.
    return F.interpolate(torch.from_numpy(mask)[None, None].float(), size, mode='nearest')[0, 0].byte().numpy()

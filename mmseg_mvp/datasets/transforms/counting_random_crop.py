"""Random crop without sorting of pixels."""
import numpy as np
from mmcv.transforms.utils import cache_randomness
from mmseg.datasets.transforms import RandomCrop
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError
from mmseg_mvp.labels import HIDDEN
from mmseg_mvp.utils.checking import check_number

_TRIES = 10


@TRANSFORMS.register_module()
class CountingRandomCrop(RandomCrop):
    """Faster version of mmseg's ``RandomCrop``, with equal crops for equal random numbers.

    Class shares come from a histogram instead of ``numpy.unique``, which sorts pixels. All hidden pixels
    (:mod:`mmseg_mvp.labels`) count as one category, so that their true classes do not influence the crop.

    Args:
        crop_size (int | tuple[int, int]): Height and width in pixels.
        cat_max_ratio (float): Largest share of one class among labelled pixels. Other crops are drawn again, up to ten
            times.
        ignore_index (int): Label of ignored pixels.

    Raises:
        UserError: If the size is not one or two positive integers, the share is not in (0, 1], or the label is not an
            integer.
    """
    _methods_with_randomness = []  # else mmcv's decorator would extend the list of mmseg's RandomCrop

    def __init__(self, crop_size: int | tuple[int, int], cat_max_ratio: float = 1., ignore_index: int = 255) -> None:
        sides = crop_size if isinstance(crop_size, (list, tuple)) else [crop_size] * 2
        if len(sides) != 2:
            raise UserError(f'CountingRandomCrop.crop_size is {crop_size!r}: set height and width, or one number.')
        for side in sides:
            check_number('A side of CountingRandomCrop.crop_size', side, least=1, whole=True)
        check_number('CountingRandomCrop.cat_max_ratio', cat_max_ratio, above=0, most=1)
        check_number('CountingRandomCrop.ignore_index', ignore_index, whole=True)
        super().__init__(tuple(sides), cat_max_ratio, ignore_index)

    @cache_randomness
    def crop_bbox(self, results: dict) -> tuple[int, int, int, int]:
        """Choose a crop of ``img`` (H, W, 3) by ``gt_seg_map`` (H, W): top, bottom, left, right in pixels."""
        bbox = self._draw(results['img'].shape)
        for _ in range(_TRIES if self.cat_max_ratio < 1 else 0):
            if self._is_varied(self.crop(results['gt_seg_map'], bbox)):
                break
            bbox = self._draw(results['img'].shape)
        return bbox

    def _draw(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        top, left = (np.random.randint(0, max(side - crop, 0) + 1) for side, crop in zip(shape, self.crop_size))
        return top, top + self.crop_size[0], left, left + self.crop_size[1]

    def _is_varied(self, labels: np.ndarray) -> bool:
        """Return True if labels (H, W) contain several classes, each within its largest share."""
        counts = np.bincount(labels[labels != self.ignore_index])
        counts = np.append(counts[:HIDDEN], counts[HIDDEN:].sum())
        return np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < self.cat_max_ratio

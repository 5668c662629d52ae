"""Agreement of photos and masks on the EXIF orientation of the photo."""
import numpy as np

from mmseg_mvp.utils.masks import Mask
from mmseg_mvp.utils.notices import notice
from mmseg_mvp.utils.pixels import turned


def placed(mask: Mask, results: dict) -> np.ndarray:
    """Turn a mask that was drawn on the stored pixels of a photo like the photo, if the sizes show it: (H, W).

    A photo with an EXIF orientation is read as viewers show it. Its mask fits these pixels, or the stored ones. If both
    have the same size, the mask is taken unchanged, and a warning names the files.

    Args:
        mask (Mask): Mask as read.
        results (dict): Sample with ``orientation`` and ``ori_shape`` of the photo, from ``LoadCheckedImage``.
    """
    orientation, shape = results.get('orientation', 1), tuple(results['ori_shape'])
    if orientation == 1 or mask.is_turned:
        return mask.values
    stored = shape[::-1] if orientation > 4 else shape
    names = f'Image {results["img_path"]!r} has the EXIF orientation {orientation}'
    if stored == shape == mask.values.shape:
        notice(('undecided', orientation), results['img_path'],
               f'{names}, and is read turned by it; its mask {results["seg_map_path"]!r} has the size of both readings '
               f'and is taken as drawn on the turned photo: if it was drawn on the stored pixels, remove the '
               f'orientation from the photo (exiftool -Orientation= FILE), else ignore this warning.')
    elif stored == mask.values.shape:
        notice(('turned', orientation), results['img_path'],
               f'{names}, and its mask {results["seg_map_path"]!r} has the size of the stored pixels: both are turned.')
        return turned(mask.values, orientation)
    return mask.values

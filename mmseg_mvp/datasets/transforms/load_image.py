"""Loading of images by the reader of the inferencer, with errors that name the file."""
from io import BytesIO

import cv2
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmseg_mvp.utils.depth import UnreadableImage
from mmseg_mvp.utils.pixels import MAX_PIXELS, Photo, allow_pixels, read_photo, reason


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` by :func:`mmseg_mvp.utils.pixels.read_photo`, the reader of the inferencer.

    Images of all modes and depths thus have the same pixels in training, tests, inference and pictures. An error names
    the file.

    Args:
        max_pixels (int): Largest number of pixels of an image.
        to_float32 (bool): If True, convert the pixels to float32.
        ignore_empty (bool): If True, return None for a file that cannot be read; mmengine then loads another.
        backend_args (dict, optional): Arguments of mmengine's file backend.

    Raises:
        UserError: If ``max_pixels`` is not a positive integer.
    """

    def __init__(self, max_pixels: int = MAX_PIXELS, to_float32: bool = False, ignore_empty: bool = False,
                 backend_args: dict | None = None) -> None:
        super().__init__(to_float32=to_float32, ignore_empty=ignore_empty, backend_args=backend_args)
        allow_pixels(max_pixels)
        self.max_pixels = max_pixels

    def transform(self, results: dict) -> dict | None:
        """Load ``results['img_path']`` into ``results['img']``, (H, W, 3) uint8, BGR.

        ``results['orientation']`` is the EXIF orientation that was applied, 1 to 8.

        Raises:
            UserError: If the file cannot be read or decoded, or has too many pixels.
        """
        try:
            photo = self._read(results['img_path'])
        except UnreadableImage:
            if self.ignore_empty:
                return None
            raise
        img = cv2.cvtColor(photo.pixels, cv2.COLOR_RGB2BGR)
        results['img'] = img.astype(np.float32) if self.to_float32 else img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        results['orientation'] = photo.orientation
        return results

    def _read(self, path: str) -> Photo:
        try:
            content = fileio.get(path, backend_args=self.backend_args)
        except Exception as error:  # storage backends raise their own exceptions
            raise UnreadableImage(f'Image {path!r} cannot be read ({reason(error)}): put the file there, or remove its '
                                  f'name from the split file.') from error
        return read_photo(BytesIO(content), f'Image {path!r}', self.max_pixels)

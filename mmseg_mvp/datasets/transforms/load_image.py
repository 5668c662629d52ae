"""Loads an image, or says which one could not be loaded."""
from typing import Optional

import cv2
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` that names the image which is missing, truncated or no image at all.

    Pillow decodes by default: it refuses a truncated file, which some versions of OpenCV fill with grey and let pass.
    The pixels are the same.

    Args:
        imdecode_backend: Decoder, as in ``mmcv.imfrombytes``.
        **kwargs: Passed on to ``mmcv.transforms.LoadImageFromFile``.
    """

    def __init__(self, imdecode_backend: str = 'pillow', **kwargs) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)

    def transform(self, results: dict) -> Optional[dict]:
        """Load ``results['img_path']`` into ``results['img']``, (H, W, 3) uint8 in BGR order.

        Raises:
            UserError: The file cannot be read or decoded.
        """
        try:
            results = super().transform(results)
        except Exception as error:  # each storage backend and decoder has exceptions of its own
            reason = str(error).partition('\n')[0].partition(' <_io')[0] or type(error).__name__
            raise UserError(f'Image {results["img_path"]!r} cannot be read ({reason}): replace the file by an intact '
                            'copy or take its name off the split file.') from error
        if results is not None and results['img'].strides[-1] < 0:
            # Pillow's RGB seen backwards: every later step would copy it, element by element.
            results['img'] = cv2.cvtColor(results['img'][..., ::-1], cv2.COLOR_RGB2BGR)
        return results

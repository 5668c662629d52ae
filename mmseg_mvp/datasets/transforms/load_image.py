"""Loading of images with an error that names the file."""

import cv2
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmseg_mvp.errors import UserError


@TRANSFORMS.register_module()
class LoadCheckedImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with an error that names a missing, truncated or invalid image.

    The default decoder is Pillow, which rejects truncated files. Some OpenCV versions fill them with grey. Both give
    equal pixels.

    Args:
        imdecode_backend (str): Decoder, as in ``mmcv.imfrombytes``.
        **kwargs: Arguments of ``mmcv.transforms.LoadImageFromFile``.
    """

    def __init__(self, imdecode_backend: str = 'pillow', **kwargs) -> None:
        super().__init__(imdecode_backend=imdecode_backend, **kwargs)

    def transform(self, results: dict) -> dict | None:
        """Load ``results['img_path']`` into ``results['img']``, (H, W, 3) uint8, BGR.

        Raises:
            UserError: If the file cannot be read or decoded.
        """
        try:
            results = super().transform(results)
        except Exception as error:  # backends and decoders raise their own exceptions
            reason = str(error).partition('\n')[0].partition(' <_io')[0] or type(error).__name__
            raise UserError(f'Image {results["img_path"]!r} cannot be read ({reason}): replace the file by an intact '
                            'copy, or remove its name from the split file.') from error
        if results is not None and results['img'].strides[-1] < 0:
            # A reversed view of RGB slows down all later steps, so convert it to contiguous BGR.
            results['img'] = cv2.cvtColor(results['img'][..., ::-1], cv2.COLOR_RGB2BGR)
        return results

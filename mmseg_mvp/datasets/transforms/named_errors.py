"""Pipeline of a data set with errors that name the image."""
import cv2
from mmengine.dataset import Compose

from mmseg_mvp.errors import UserError


class NamedErrors(Compose):
    """mmengine's ``Compose`` with one sentence for an image that a resize would reduce to nothing."""

    def __call__(self, data: dict) -> dict | None:
        """Run all transforms.

        Raises:
            UserError: If a resize would give a side of 0 pixels.
        """
        path = data.get('img_path')
        try:
            return super().__call__(data)
        except cv2.error as error:
            if "'resize'" not in str(error):
                raise
            height, width = data.get('ori_shape', (0, 0))
            raise UserError(f"Image {path!r} of {width} x {height} pixels cannot be resized by the pipeline, because "
                            f'one side would be 0: crop it to a usual shape, or remove its name from the split '
                            f'file.') from error

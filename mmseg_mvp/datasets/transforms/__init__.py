"""Loading transforms that tell a user which file is broken and how, and a crop that costs less than mmseg's."""
from .counting_random_crop import CountingRandomCrop
from .load_annotations import LoadCheckedAnnotations
from .load_image import LoadCheckedImage

__all__ = ['CountingRandomCrop', 'LoadCheckedAnnotations', 'LoadCheckedImage']

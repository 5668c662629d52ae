"""Loading that tells a user which file is broken and how, a crop that costs less than mmseg's, and hidden labels."""
from .counting_random_crop import CountingRandomCrop
from .hide_classes import HideClasses, HideEverything
from .load_annotations import LoadCheckedAnnotations
from .load_image import LoadCheckedImage
from .pack_label_list import PackLabelList

__all__ = ['CountingRandomCrop', 'HideClasses', 'HideEverything', 'LoadCheckedAnnotations', 'LoadCheckedImage',
           'PackLabelList']

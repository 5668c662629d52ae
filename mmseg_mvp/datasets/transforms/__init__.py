"""Loading that tells a user which file is broken and how, a cheaper random crop, hidden labels, masks of episodes."""
from .counting_random_crop import CountingRandomCrop
from .hide_classes import HideClasses, HideEverything
from .load_annotations import LoadCheckedAnnotations
from .load_episode_annotations import LoadEpisodeAnnotations
from .load_image import LoadCheckedImage
from .pack_label_list import PackLabelList

__all__ = ['CountingRandomCrop', 'HideClasses', 'HideEverything', 'LoadCheckedAnnotations', 'LoadCheckedImage',
           'LoadEpisodeAnnotations', 'PackLabelList']

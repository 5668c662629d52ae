"""Transforms: checked loading, a faster random crop, hidden labels, episodes and per-sample vocabularies."""
from .counting_random_crop import CountingRandomCrop
from .hide_classes import HideClasses, HideEverything
from .load_annotations import LoadCheckedAnnotations
from .load_episode_annotations import LoadEpisodeAnnotations
from .load_image import LoadCheckedImage
from .pack_vocabulary import PackVocabulary

__all__ = ['CountingRandomCrop', 'HideClasses', 'HideEverything', 'LoadCheckedAnnotations', 'LoadCheckedImage',
           'LoadEpisodeAnnotations', 'PackVocabulary']

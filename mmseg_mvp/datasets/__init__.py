"""Data sets, samplers and transforms in addition to mmseg, and checks of data files."""
from .checks import check_data
from .episodes import COCO20iDataset, FSS1000Dataset, PASCAL5iDataset
from .even_sampler import EvenSampler
from .picture_names import PictureNames
from .toy import DrawToyScene, ToySceneDataset
from .transforms import (
                         CountingRandomCrop,
                         HideClasses,
                         HideEverything,
                         LoadCheckedAnnotations,
                         LoadCheckedImage,
                         LoadEpisodeAnnotations,
                         PackVocabulary,
)
from .voc20 import PascalVOC20Dataset

__all__ = ['COCO20iDataset', 'CountingRandomCrop', 'DrawToyScene', 'EvenSampler', 'FSS1000Dataset', 'HideClasses',
           'HideEverything', 'LoadCheckedAnnotations', 'LoadCheckedImage', 'LoadEpisodeAnnotations', 'PASCAL5iDataset',
           'PackVocabulary', 'PictureNames', 'PascalVOC20Dataset', 'ToySceneDataset', 'check_data']

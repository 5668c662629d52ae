"""Data sets that mmseg lacks, transforms that name a broken file, and the check that a config's data exist."""
from .checks import check_data
from .episodes import COCO20iDataset, FSS1000Dataset, PASCAL5iDataset
from .even_sampler import EvenSampler
from .toy import DrawToyScene, ToySceneDataset
from .transforms import (CountingRandomCrop, HideClasses, HideEverything, LoadCheckedAnnotations, LoadCheckedImage,
                         LoadEpisodeAnnotations, PackLabelList)
from .voc20 import PascalVOC20Dataset

__all__ = ['COCO20iDataset', 'CountingRandomCrop', 'DrawToyScene', 'EvenSampler', 'FSS1000Dataset', 'HideClasses',
           'HideEverything', 'LoadCheckedAnnotations', 'LoadCheckedImage', 'LoadEpisodeAnnotations', 'PASCAL5iDataset',
           'PackLabelList', 'PascalVOC20Dataset', 'ToySceneDataset', 'check_data']

"""Data sets that mmseg lacks, transforms that name a broken file, and the check that a config's data exist."""
from .checks import check_data
from .even_sampler import EvenSampler
from .toy import DrawToyScene, ToySceneDataset
from .transforms import (CountingRandomCrop, HideClasses, HideEverything, LoadCheckedAnnotations, LoadCheckedImage,
                         PackLabelList)
from .voc20 import PascalVOC20Dataset

__all__ = ['CountingRandomCrop', 'DrawToyScene', 'EvenSampler', 'HideClasses', 'HideEverything',
           'LoadCheckedAnnotations', 'LoadCheckedImage', 'PackLabelList', 'PascalVOC20Dataset', 'ToySceneDataset',
           'check_data']

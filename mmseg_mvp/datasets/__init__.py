"""Data sets, samplers and transforms in addition to mmseg, and checks of data files."""
from .checks import check_data
from .episodes import COCO20iDataset, FSS1000Dataset, PASCAL5iDataset
from .even_sampler import EvenSampler
from .feature_bank import FeatureBankDataset
from .picture_names import PictureNames
from .test_only import ADE20K847Dataset, COCOObjectDataset, PascalContextDataset459
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

__all__ = ['ADE20K847Dataset', 'COCO20iDataset', 'COCOObjectDataset', 'CountingRandomCrop', 'DrawToyScene',
           'EvenSampler', 'FSS1000Dataset', 'FeatureBankDataset', 'HideClasses', 'HideEverything',
           'LoadCheckedAnnotations', 'LoadCheckedImage', 'LoadEpisodeAnnotations', 'PASCAL5iDataset', 'PackVocabulary',
           'PascalContextDataset459', 'PascalVOC20Dataset', 'PictureNames', 'ToySceneDataset', 'check_data']

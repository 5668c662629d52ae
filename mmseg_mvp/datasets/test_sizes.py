"""Sizes of published test sets, to tell a part of a set from the whole."""
from collections.abc import Mapping

from .preflight import prepare

_CONTEXT = 5105, 5104  # by mmseg's converter, and as papers count them
TEST_IMAGES = {  # class of the data set: accepted numbers of images of its test split
    'PascalVOC20Dataset': (1449, ), 'PascalVOCDataset': (1449, ),
    'PascalContextDataset': _CONTEXT, 'PascalContextDataset59': _CONTEXT, 'PascalContextDataset459': _CONTEXT,
    'COCOStuffDataset': (5000, ), 'COCOObjectDataset': (5000, ), 'CityscapesDataset': (500, ),
    'ADE20KDataset': (2000, ), 'ADE20K847Dataset': (2000, ),
}


def other_size(dataset: str | None, images: int | None) -> int | None:
    """Return the size of a published test set if the number of images differs; None if not, or if one is unknown."""
    expected = TEST_IMAGES.get(dataset or '', ())
    return expected[0] if images and expected and images not in expected else None


def count_images(cfg: Mapping, loader: str) -> int | None:
    """Return the number of images of a data set that was checked; None if it is not one of mmengine's or not local."""
    dataset = prepare(cfg, loader)
    if dataset is None:
        return None
    dataset.full_init()
    return len(dataset)

"""PASCAL VOC 2012 for zero-shot segmentation: 20 classes, background ignored."""
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class PascalVOC20Dataset(PascalVOCDataset):
    """PASCAL VOC without its background class.

    It uses the files of :class:`mmseg.datasets.PascalVOCDataset` (mask values 0 for background, 1 to 20 for classes,
    255 for borders). Background and borders become 255, and label 0 is aeroplane.

    Args:
        ann_file (str): Split file relative to ``data_root``, with one image name per line.
        reduce_zero_label (bool): True for the original masks; False for masks with classes from 0.
        **kwargs: Arguments of :class:`mmseg.datasets.PascalVOCDataset`.
    """

    METAINFO = {key: values[1:] for key, values in PascalVOCDataset.METAINFO.items()}

    def __init__(self, ann_file: str, reduce_zero_label: bool = True, **kwargs) -> None:
        super().__init__(ann_file=ann_file, reduce_zero_label=reduce_zero_label, **kwargs)

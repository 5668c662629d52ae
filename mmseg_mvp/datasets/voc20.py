"""PASCAL VOC 2012 as zero-shot segmentation uses it: 20 classes, the background ignored."""
from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class PascalVOC20Dataset(PascalVOCDataset):
    """PASCAL VOC without its background class.

    The files are those of :class:`mmseg.datasets.PascalVOCDataset` (mask values 0 for background, 1 to 20 for classes,
    255 for borders). Background and borders load as 255, so that label 0 is aeroplane.

    Args:
        ann_file: Split file, one image name a line, relative to ``data_root``.
        reduce_zero_label: Must stay true for the files above; false for masks whose classes already start at 0.
        **kwargs: Passed on to :class:`mmseg.datasets.PascalVOCDataset`.
    """

    METAINFO = {key: values[1:] for key, values in PascalVOCDataset.METAINFO.items()}

    def __init__(self, ann_file: str, reduce_zero_label: bool = True, **kwargs) -> None:
        super().__init__(ann_file=ann_file, reduce_zero_label=reduce_zero_label, **kwargs)

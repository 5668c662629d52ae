"""Data sets of open-vocabulary benchmarks that MMSegmentation lacks. Converters in tools/ write their masks."""
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_mvp.vocabularies import class_names

IGNORE_16 = 2**16 - 1  # value of ignored pixels in masks of 16 bits


@DATASETS.register_module()
class COCOObjectDataset(BaseSegDataset):
    """COCO-Object: 80 thing classes of COCO and the background, label 0, which includes all stuff.

    Masks are those of COCO-Stuff with other values (``tools/dataset_converters/coco_object.py``); 255 is ignored.
    """

    METAINFO = dict(classes=tuple(class_names('coco_object')))

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '_instanceTrainIds.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class ADE20K847Dataset(BaseSegDataset):
    """ADE20K-Full with the 847 classes of MaskFormer (Cheng et al., NeurIPS 2021).

    Masks have 16 bits (``tools/dataset_converters/ade20k_full.py``); 65535 is ignored.
    """

    METAINFO = dict(classes=tuple(class_names('ade20k_847')))

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '.tif', ignore_index: int = IGNORE_16,
                 **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, ignore_index=ignore_index, **kwargs)


@DATASETS.register_module()
class PascalContextDataset459(BaseSegDataset):
    """PASCAL Context with all 459 classes.

    Masks have 16 bits (``tools/dataset_converters/pascal_context459.py``); 65535 is ignored.

    Args:
        ann_file (str): Split file relative to ``data_root``, with one image name per line.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.
    """

    METAINFO = dict(classes=tuple(class_names('context459')))

    def __init__(self, ann_file: str, img_suffix: str = '.jpg', seg_map_suffix: str = '.png',
                 ignore_index: int = IGNORE_16, **kwargs) -> None:
        super().__init__(ann_file=ann_file, img_suffix=img_suffix, seg_map_suffix=seg_map_suffix,
                         ignore_index=ignore_index, **kwargs)

"""Check of the data of a config before the model is built, with the folder trees of known data sets."""
import os.path as osp
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmseg_mvp.errors import UserError
from mmseg_mvp.utils.config import type_name

from .preflight import check_files, is_remote, prepare

_VOC = """\
├── JPEGImages/*.jpg
├── SegmentationClass/*.png
├── SegmentationClassAug/*.png               (written by MMSegmentation's tools/dataset_converters/voc_aug.py)
└── ImageSets/Segmentation/{train,aug,val}.txt     (aug.txt by the same script)"""
_CONTEXT = """\
├── JPEGImages/*.jpg
├── SegmentationClassContext/*.png        (written by MMSegmentation's tools/dataset_converters/pascal_context.py)
└── ImageSets/SegmentationContext/{train,val}.txt  (by the same script)"""
_ADE20K = """\
├── images/{training,validation}/*.jpg
└── annotations/{training,validation}/*.png"""
_COCO_STUFF = """\
├── images/{train2017,val2017}/*.jpg
└── annotations/{train2017,val2017}/*_labelTrainIds.png
                                             (written by MMSegmentation's tools/dataset_converters/coco_stuff164k.py)"""
_COCO_OBJECT = """\
├── images/{train2017,val2017}/*.jpg
└── annotations/{train2017,val2017}/*_instanceTrainIds.png
                                             (written by tools/dataset_converters/coco_object.py)"""
_CONTEXT459 = """\
├── JPEGImages/*.jpg
├── SegmentationClassContext459/*.png         (written by tools/dataset_converters/pascal_context459.py)
└── ImageSets/Main/{train,val}.txt"""
_ADE20K_847 = """\
├── images_detectron2/{training,validation}/*.jpg
└── annotations_detectron2/{training,validation}/*.tif
                                             (both written by tools/dataset_converters/ade20k_full.py)"""
_PASCAL5I = """\
├── JPEGImages/*.jpg
├── SegmentationClassAug/*.png                     (published by HSNet)
└── splits/pascal/{trn,val}/fold{0,1,2,3}.txt      (data/splits of HSNet's code)"""
_COCO20I = """\
├── {train2014,val2014}/*.jpg
├── annotations/{train2014,val2014}/*.png          (published by HSNet)
└── splits/coco/{trn,val}/fold{0,1,2,3}.pkl        (data/splits of HSNet's code, or .json)"""
_FSS1000 = """\
├── CATEGORY/{1,...,10}.{jpg,png}
└── splits/fss/{trn,val,test}.txt                  (data/splits of HSNet's code)"""
_CITYSCAPES = """\
├── leftImg8bit/{train,val}/CITY/*_leftImg8bit.png
└── gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png
                                             (written by MMSegmentation's tools/dataset_converters/cityscapes.py)"""
_BDD100K = """\
├── images/10k/{train,val}/*.jpg
└── labels/sem_seg/masks/{train,val}/*.png"""
_MAPILLARY_V1 = """\
├── training/images/*.jpg
├── training/v1.2/labels/*.png
├── validation/images/*.jpg
└── validation/v1.2/labels/*.png"""

TREES = {
    'PascalVOC20Dataset': _VOC,
    'PascalVOCDataset': _VOC,
    'PascalContextDataset': _CONTEXT,
    'PascalContextDataset59': _CONTEXT,
    'ADE20KDataset': _ADE20K,
    'COCOStuffDataset': _COCO_STUFF,
    'COCOObjectDataset': _COCO_OBJECT,
    'PascalContextDataset459': _CONTEXT459,
    'ADE20K847Dataset': _ADE20K_847,
    'PASCAL5iDataset': _PASCAL5I,
    'COCO20iDataset': _COCO20I,
    'FSS1000Dataset': _FSS1000,
    'CityscapesDataset': _CITYSCAPES,
    'BDD100KDataset': _BDD100K,
    'MapillaryDataset_v1': _MAPILLARY_V1,
}
_EPISODES = ('PASCAL5iDataset', 'COCO20iDataset', 'FSS1000Dataset')
_KINDS = (('data_prefix', (dict,), 'a dict with img_path and seg_map_path'),
          ('pipeline', (list, tuple), 'a list of transforms'))
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def check_data(cfg: Mapping, loaders: Sequence[str] = _LOADERS, files: bool = True) -> list[str]:
    """Check the data in the given data loaders: folders, lists, all images and masks, and values of some masks.

    Generated data (the toy world) has no files. Data on remote storage are not checked. The config changes in place for
    split files that mmseg would not read right, and for test sets without masks.

    Args:
        cfg (Mapping): Config.
        loaders (Sequence[str]): Names of data loaders in the config.
        files (bool): If False, check only folders and the encoding of lists.

    Returns:
        list[str]: Notes for the log.

    Raises:
        UserError: If a folder, list or file is missing or wrong, with the expected folder tree, or if folds differ.
    """
    check_kinds(cfg, loaders)
    notes = []
    for loader in loaders:
        for leaf in leaf_datasets((cfg.get(loader) or {}).get('dataset') or {}):
            if not isinstance(leaf, Mapping):
                continue
            _check_dataset(leaf, loader)
            _check_fold(leaf, loader, cfg.get('fold'))
            dataset = prepare(leaf, loader)
            if files and dataset is not None:
                notes += check_files(dataset, leaf, loader)
    return notes


def leaf_datasets(dataset: Any) -> Iterator[Any]:
    """Generate the data sets, or their configs, inside wrappers such as ``ConcatDataset`` and ``RepeatDataset``."""
    get = dataset.get if isinstance(dataset, Mapping) else lambda key: getattr(dataset, key, None)
    parts = [part for part in get('datasets') or [get('dataset')] if part is not None]
    if not parts:
        yield dataset
    for part in parts:
        yield from leaf_datasets(part)


def check_kinds(cfg: Mapping, loaders: Sequence[str]) -> None:
    """Check that data sets, and their folders and pipelines, are dicts and lists where mmseg expects them.

    Raises:
        UserError: If one is of another kind.
    """
    for loader in loaders:
        for leaf in leaf_datasets((cfg.get(loader) or {}).get('dataset') or {}):
            if isinstance(leaf, (list, tuple, str)):
                raise UserError(f'The data set of {loader} is {reprlib.repr(leaf)}: expected a dict; join several by '
                                'dict(type=\'ConcatDataset\', datasets=[...]).')
            for key, kinds, expected in _KINDS if isinstance(leaf, Mapping) else ():
                if not isinstance(leaf.get(key, kinds[0]()), kinds):
                    raise UserError(f'{key} of {loader} ({type_name(leaf)}) is {reprlib.repr(leaf[key])}: expected '
                                    f'{expected}.')


def _check_dataset(dataset: Mapping, loader: str) -> None:
    if is_remote(dataset):
        return
    root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix') or {}
    places = [('data root', root, osp.isdir),
              ('image folder', prefix.get('img_path'), osp.isdir),
              ('mask folder', prefix.get('seg_map_path'), osp.isdir),
              ('list folder', dataset.get('list_dir'), osp.isdir),
              ('split file', dataset.get('ann_file'), _is_filled_file)]
    for kind, place, exists in places:
        if not isinstance(place, (str, type(None))):
            raise UserError(f'The {kind} of {loader} ({type_name(dataset)}) is {place!r}: expected one path.')
        path = place if kind == 'data root' else osp.join(root, place or '')
        if place and not exists(path):
            raise UserError(_missing(kind, path, root, dataset, loader))


def _check_fold(dataset: Mapping, loader: str, fold: int | str | None) -> None:
    own = dataset.get('fold')
    if type_name(dataset) in _EPISODES and None not in (own, fold) and str(own) != str(fold):
        raise UserError(f'The config has fold {fold}, and {loader} has fold {own}: set both by the '
                        'environment variable FOLD.')


def _is_filled_file(path: str) -> bool:
    return osp.isfile(path) and osp.getsize(path) > 0


def _missing(kind: str, path: str, root: str, dataset: Mapping, loader: str) -> str:
    name = type_name(dataset)
    state = 'missing or empty' if kind == 'split file' else 'missing'
    fix = f'set data_root of {loader}'
    if kind == 'mask folder' and loader == 'test_dataloader':
        fix += f', or, for a test without masks, {loader}.dataset.data_prefix.seg_map_path=None'
    sentence = f'The {kind} {path!r} of {loader} ({name}) is {state}: put the data (or a link) there, or {fix}.'
    tree = TREES.get(name)
    return f'{sentence}\nExpected:\n{root}\n{tree}' if tree else sentence

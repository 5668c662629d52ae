# PASCAL VOC 2012, 20 classes, background ignored, test only.
_base_ = './test_only.py'
from mmseg_mvp.vocabularies import class_names

# One word a class, as in the code of ClearCLIP and ProxyCLIP.
words = {'boat': 'boat = ship', 'diningtable': 'diningtable = table'}
one_word = [words.get(name, name) for name in class_names('voc20')]

dataset_type = 'PascalVOC20Dataset'
data_root = 'data/VOCdevkit/VOC2012'
load_labels = dict(_base_.load_labels, num_classes=20)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/train.txt',
        pipeline=test_pipeline))

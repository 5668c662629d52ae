# PASCAL Context, 459 classes, test only; labels of 16 bits.
_base_ = './test_only.py'

dataset_type = 'PascalContextDataset459'
data_root = 'data/VOCdevkit/VOC2010'
load_labels = dict(_base_.load_labels, num_classes=459, ignore_index=65535)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext459'),
        ann_file='ImageSets/Main/val.txt',
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext459'),
        ann_file='ImageSets/Main/train.txt',
        pipeline=test_pipeline))

test_evaluator = dict(ignore_index=65535)

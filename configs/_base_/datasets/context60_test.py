# PASCAL Context, 60 classes with background, test only.
_base_ = './test_only.py'

dataset_type = 'PascalContextDataset'
data_root = 'data/VOCdevkit/VOC2010'
load_labels = dict(_base_.load_labels, num_classes=60)
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]

test_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        ann_file='ImageSets/SegmentationContext/val.txt',
        pipeline=test_pipeline))
choose_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        ann_file='ImageSets/SegmentationContext/train.txt',
        pipeline=test_pipeline))

# PASCAL Context, 49 seen and 10 unseen classes, background ignored.
_base_ = './zero_shot.py'
from mmseg_mvp.vocabularies import class_names

dataset_type = 'PascalContextDataset59'
data_root = 'data/VOCdevkit/VOC2010'
load_labels = dict(_base_.load_labels, num_classes=59)
img_scale = (520, 520)
crop_size = (480, 480)
train_pipeline = [
    _base_.train_pipeline[0], load_labels, dict(_base_.train_pipeline[2], scale=img_scale),
    dict(_base_.train_pipeline[3], crop_size=crop_size), *_base_.train_pipeline[4:]
]
test_pipeline = [
    _base_.test_pipeline[0], dict(_base_.test_pipeline[1], scale=img_scale), load_labels, *_base_.test_pipeline[3:]
]
views = _base_.tta_pipeline[1].transforms
tta_pipeline = [_base_.tta_pipeline[0], dict(type='TestTimeAug', transforms=[*views[:2], [load_labels], *views[3:]])]
del views  # not a setting

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=dict(classes=class_names('context59:seen')),  # inductive: unseen classes become 255
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        ann_file='ImageSets/SegmentationContext/train.txt',
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
        ann_file='ImageSets/SegmentationContext/val.txt',
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(unseen='context59:unseen')
test_evaluator = val_evaluator

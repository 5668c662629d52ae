# ADE20K, 135 seen and 15 unseen classes.
_base_ = './zero_shot.py'
from mmseg_mvp.vocabularies import class_names

dataset_type = 'ADE20KDataset'
data_root = 'data/ade/ADEChallengeData2016'
load_labels = dict(_base_.load_labels, num_classes=150)
train_pipeline = [_base_.train_pipeline[0], load_labels, *_base_.train_pipeline[2:]]
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]
views = _base_.tta_pipeline[1].transforms
tta_pipeline = [_base_.tta_pipeline[0], dict(type='TestTimeAug', transforms=[*views[:2], [load_labels], *views[3:]])]
del views  # not a setting

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=dict(classes=class_names('ade20k:seen')),  # inductive: unseen classes become 255
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(unseen='ade20k:unseen')
test_evaluator = val_evaluator

# PASCAL Context with background as a class: 50 seen classes (with background) and 10 unseen.
_base_ = './context59_zs.py'
from mmseg_mvp.vocabularies import class_names

dataset_type = 'PascalContextDataset'
load_labels = dict(_base_.load_labels, num_classes=60)
train_pipeline = [_base_.train_pipeline[0], load_labels, *_base_.train_pipeline[2:]]
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]
views = _base_.tta_pipeline[1].transforms
tta_pipeline = [_base_.tta_pipeline[0], dict(type='TestTimeAug', transforms=[*views[:2], [load_labels], *views[3:]])]
del views  # not a setting

train_dataloader = dict(
    dataset=dict(
        type=dataset_type, metainfo=dict(classes=class_names('context60:seen')), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(unseen='context60:unseen')
test_evaluator = val_evaluator

# COCO-Stuff 164k, 156 seen and 15 unseen classes.
_base_ = './zero_shot.py'
from mmseg_mvp.vocabularies import class_names

dataset_type = 'COCOStuffDataset'
data_root = 'data/coco_stuff164k'
load_labels = dict(_base_.load_labels, num_classes=171)
train_pipeline = [_base_.train_pipeline[0], load_labels, *_base_.train_pipeline[2:]]
test_pipeline = [*_base_.test_pipeline[:2], load_labels, *_base_.test_pipeline[3:]]
views = _base_.tta_pipeline[1].transforms
tta_pipeline = [_base_.tta_pipeline[0], dict(type='TestTimeAug', transforms=[*views[:2], [load_labels], *views[3:]])]
del views  # not a setting

train_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=dict(classes=class_names('coco_stuff:seen')),  # inductive: unseen classes become 255
        data_prefix=dict(img_path='images/train2017', seg_map_path='annotations/train2017'),
        pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(unseen='coco_stuff:unseen')
test_evaluator = val_evaluator

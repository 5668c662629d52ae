# ADE20K, all 150 classes, with LSeg's augmentation: long sides of 260 to 1040 pixels, crops of 480.
_base_ = './ade20k_zs.py'
from mmseg_mvp.vocabularies import class_names

img_scale = (520, 520)
crop_size = (480, 480)
load_labels = _base_.load_labels
train_pipeline = [
    dict(type='LoadCheckedImage'),
    load_labels,
    dict(type='RandomResize', scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CountingRandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    load_labels,  # after Resize: evaluation at the size of the file
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=2, dataset=dict(metainfo=dict(classes=class_names('ade20k')), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='ZeroShotIoUMetric')
test_evaluator = val_evaluator

# ADE20K, all 150 classes seen.
_base_ = './ade20k_zs.py'
from mmseg_mvp.vocabularies import class_names

train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('ade20k'))))
val_evaluator = dict(_delete_=True, type='ZeroShotIoUMetric')
test_evaluator = val_evaluator

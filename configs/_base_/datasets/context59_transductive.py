# PASCAL Context, transductive: names of unseen classes are known, their pixels are hidden.
_base_ = './context59_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='HideClasses', classes='context59', unseen='context59:unseen'),  # directly after loading
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('context59')), pipeline=train_pipeline))

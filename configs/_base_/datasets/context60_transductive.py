# PASCAL Context with background, transductive: names of unseen classes are known, their pixels are hidden.
_base_ = './context60_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='HideClasses', classes='context60', unseen='context60:unseen'),  # directly after loading
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('context60')), pipeline=train_pipeline))

# ADE20K, transductive: names of unseen classes are known, their pixels are hidden.
_base_ = './ade20k_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='HideClasses', classes='ade20k', unseen='ade20k:unseen'),  # directly after loading
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('ade20k')), pipeline=train_pipeline))

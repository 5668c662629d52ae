# The toy world, transductive: names of unseen classes are known, their pixels are hidden.
_base_ = './toy_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    dict(type='DrawToyScene'),
    dict(type='HideClasses', classes='toy', unseen='toy:unseen'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('toy')), pipeline=train_pipeline))

# The toy world without annotations: all class names are known, all pixels are hidden, background too.
_base_ = './toy_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [dict(type='DrawToyScene'), dict(type='HideEverything'), dict(type='PackSegInputs')]
train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('toy')), pipeline=train_pipeline))

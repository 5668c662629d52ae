# COCO-Stuff 164k, transductive: names of unseen classes are known, their pixels are hidden.
_base_ = './coco_stuff_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='HideClasses', classes='coco_stuff', unseen='coco_stuff:unseen'),  # directly after loading
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(metainfo=dict(classes=class_names('coco_stuff')), pipeline=train_pipeline))

# PASCAL VOC 2012, transductive: names of unseen classes are known, their pixels are hidden.
_base_ = './voc20_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='HideClasses', classes='voc20', unseen='voc20:unseen'),  # directly after loading
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(part, metainfo=dict(classes=class_names('voc20')), pipeline=train_pipeline)
            for part in _base_.train_dataloader.dataset.datasets
        ]))

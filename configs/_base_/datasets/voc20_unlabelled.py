# PASCAL VOC 2012 without annotations: all class names are known, training reads no mask.
_base_ = './voc20_zs.py'
from mmseg_mvp.vocabularies import class_names

train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='HideEverything'),
    dict(type='RandomResize', scale=_base_.img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CountingRandomCrop', crop_size=_base_.crop_size, cat_max_ratio=1.),  # no labels to select a crop by
    *_base_.train_pipeline[4:],
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                part,
                metainfo=dict(classes=class_names('voc20')),
                data_prefix=dict(img_path='JPEGImages'),
                pipeline=train_pipeline) for part in _base_.train_dataloader.dataset.datasets
        ]))

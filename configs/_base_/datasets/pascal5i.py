# PASCAL-5i in LSeg's zero-shot protocol. Fold f tests VOC's classes 5f to 5f + 4 and trains on the other 15.
# The environment variable FOLD sets the fold: `FOLD=2 python tools/train.py ...`.
# The empty base keeps this a text config, as in the other data sets.
_base_ = []
fold = '{{$FOLD:0}}'
dataset_type = 'PASCAL5iDataset'
data_root = 'data/VOCdevkit/VOC2012'
data_prefix = dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug')
img_scale = (520, 520)
crop_size = (480, 480)
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadEpisodeAnnotations', num_classes=21),
    dict(type='RandomResize', scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CountingRandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackVocabulary'),
]
episode_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=crop_size, keep_ratio=False, backend='pillow'),  # stretched, as by torchvision
    dict(type='LoadEpisodeAnnotations', num_classes=21, at_input_size=True),  # False: evaluation at file size
    dict(type='PackVocabulary'),
]
# Pipeline for a user's image files, with model.set_classes(...). mmseg's inference_model reads this name.
test_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=crop_size, keep_ratio=False, backend='pillow'),
    dict(type='PackSegInputs'),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        fold=fold,
        split='train',
        data_root=data_root,
        data_prefix=data_prefix,
        list_dir='splits/pascal',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        fold=fold,
        split='test',
        episodes='paper',  # 'all': each pair once
        data_root=data_root,
        data_prefix=data_prefix,
        list_dir='splits/pascal',
        pipeline=episode_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='FewShotIoUMetric')
test_evaluator = val_evaluator

# FSS-1000 in LSeg's zero-shot protocol: 520 classes are trained on, 240 others validate and 240 others test.
# The empty base keeps this a text config, as those of the other data sets.
_base_ = []
dataset_type = 'FSS1000Dataset'
data_root = 'data/FSS-1000'
data_prefix = dict(img_path='', seg_map_path='')
img_scale = (520, 520)
crop_size = (480, 480)
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadEpisodeAnnotations', num_classes=256, grey=True),
    dict(type='RandomResize', scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CountingRandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackLabelList'),
]
episode_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=crop_size, keep_ratio=False, backend='pillow'),  # squashed, as torchvision does
    # at_input_size=False compares at the size of the file.
    dict(type='LoadEpisodeAnnotations', num_classes=256, grey=True, at_input_size=True),
    dict(type='PackLabelList'),
]
# For image files of a user, with model.set_classes(...) (mmseg's inference_model reads this name).
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
        split='train',
        data_root=data_root,
        data_prefix=data_prefix,
        list_dir='splits/fss',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        split='val',
        data_root=data_root,
        data_prefix=data_prefix,
        list_dir='splits/fss',
        pipeline=episode_pipeline))
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        split='test',
        data_root=data_root,
        data_prefix=data_prefix,
        list_dir='splits/fss',
        pipeline=episode_pipeline))

val_evaluator = dict(type='FewShotIoUMetric')
test_evaluator = val_evaluator

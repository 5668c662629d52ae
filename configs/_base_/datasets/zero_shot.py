# Pipelines, loaders and metric shared by the zero-shot data sets (*_zs.py). PASCAL Context has smaller sizes.
# mmengine replaces lists as a whole, so each data set rebuilds the pipelines with its own label step.
img_scale = (2048, 512)
crop_size = (512, 512)
load_labels = dict(type='LoadCheckedAnnotations')  # each data set adds num_classes
train_pipeline = [
    dict(type='LoadCheckedImage'),
    load_labels,
    dict(type='RandomResize', scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='CountingRandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    load_labels,  # after Resize: evaluation at the size of the file
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)],
            [dict(type='RandomFlip', prob=0., direction='horizontal'),
             dict(type='RandomFlip', prob=1., direction='horizontal')],
            [load_labels],
            [dict(type='PackSegInputs')],
        ]),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader

val_evaluator = dict(type='ZeroShotIoUMetric')
test_evaluator = val_evaluator

# The toy world: 64 x 64 pictures drawn by code, 15 seen and 5 unseen classes, background ignored.
# The empty base keeps this a text config: mmengine takes one that starts with a third-party import for its lazy style.
_base_ = []
from mmseg_mvp.vocabularies import class_names

dataset_type = 'ToySceneDataset'
pipeline = [dict(type='DrawToyScene'), dict(type='PackSegInputs')]
# For image files of a user (mmseg's inference_model reads this name).
test_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='PackSegInputs')
]
tta_pipeline = [
    dict(type='DrawToyScene'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='RandomFlip', prob=0., direction='horizontal'),
             dict(type='RandomFlip', prob=1., direction='horizontal')],
            [dict(type='PackSegInputs')],
        ]),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=0,  # a picture takes less than a millisecond
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        split='train',
        num_images=1024,
        metainfo=dict(classes=class_names('toy:seen')),  # pixels of unseen classes become 255
        pipeline=pipeline))
# Settings are to be chosen on 'val'; 'test' is for the figures that are reported.
val_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, split='val', num_images=500, pipeline=pipeline))
test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, split='test', num_images=500, test_mode=True, pipeline=pipeline))

val_evaluator = dict(type='ZeroShotIoUMetric', unseen='toy:unseen')
test_evaluator = val_evaluator

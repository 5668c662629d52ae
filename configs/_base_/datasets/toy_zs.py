# The toy world: synthetic images of 64 x 64 pixels, 15 seen and 5 unseen classes, background ignored.
# The empty base keeps this a text config. mmengine treats a config that starts with a third-party import as lazy.
_base_ = []
from mmseg_mvp.vocabularies import class_names

dataset_type = 'ToySceneDataset'
pipeline = [dict(type='DrawToyScene'), dict(type='PackSegInputs')]
# Pipeline for a user's image files. mmseg's inference_model reads this name.
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
    num_workers=0,  # an image takes less than a millisecond
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        split='train',
        num_images=1024,
        metainfo=dict(classes=class_names('toy:seen')),  # unseen classes become 255
        pipeline=pipeline))
# Choose settings on 'val'. Use 'test' for reported figures only.
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

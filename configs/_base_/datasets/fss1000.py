# FSS-1000 in LSeg's zero-shot protocol: 520 classes for training, 240 for validation, 240 for test.
_base_ = './pascal5i.py'
masks = dict(type='LoadEpisodeAnnotations', num_classes=256, grey=True)
train_pipeline = [_base_.train_pipeline[0], masks, *_base_.train_pipeline[2:]]
episode_pipeline = [
    *_base_.episode_pipeline[:2],
    dict(masks, at_input_size=True),  # False: evaluation at file size
    *_base_.episode_pipeline[3:],
]
dataset = dict(
    _delete_=True,  # no folds
    type='FSS1000Dataset',
    data_root='data/FSS-1000',
    data_prefix=dict(img_path='', seg_map_path=''),
    list_dir='splits/fss')
train_dataloader = dict(dataset=dict(dataset, split='train', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(dataset, split='val', pipeline=episode_pipeline))
test_dataloader = dict(dataset=dict(dataset, split='test', pipeline=episode_pipeline))
fold = None

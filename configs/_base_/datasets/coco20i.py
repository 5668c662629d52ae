# COCO-20i in LSeg's zero-shot protocol. Fold f tests COCO's classes f, f + 4, ..., f + 76 and trains on the other 60.
# The environment variable FOLD sets the fold, as for PASCAL-5i.
_base_ = './pascal5i.py'
masks = dict(type='LoadEpisodeAnnotations', num_classes=81)
train_pipeline = [_base_.train_pipeline[0], masks, *_base_.train_pipeline[2:]]
episode_pipeline = [
    *_base_.episode_pipeline[:2],
    dict(masks, at_input_size=True),  # False: evaluation at file size
    *_base_.episode_pipeline[3:],
]
dataset = dict(
    type='COCO20iDataset',
    data_root='data/COCO2014',
    data_prefix=dict(img_path='', seg_map_path='annotations'),
    list_dir='splits/coco')
train_dataloader = dict(dataset=dict(dataset, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(dataset, pipeline=episode_pipeline))
test_dataloader = val_dataloader

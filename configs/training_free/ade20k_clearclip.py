# ADE20K without training, by ClearCLIP (arXiv 2407.12442).
_base_ = './ade20k_naclip.py'
model = dict(
    backbone=dict(dense='clearclip'),
    decode_head=dict(scale=50.),
    test_cfg=dict(crop_size=(448, 448), stride=(224, 224)))

test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(2048, 448), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
choose_dataloader = dict(dataset=dict(pipeline=test_pipeline))

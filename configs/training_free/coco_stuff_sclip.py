# COCO-Stuff without training, by SCLIP (arXiv 2312.01597).
_base_ = './coco_stuff_naclip.py'
model = dict(
    backbone=dict(dense='sclip'))

test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(2048, 448), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
choose_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# Cityscapes without training, by ProxyCLIP (arXiv 2408.04883), with DINO ViT-B/8.
_base_ = './cityscapes_naclip.py'
model = dict(
    backbone=dict(dense=dict(_delete_=True, type='proxy', model='vit_base_patch8_224.dino')))

test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(2048, 448), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
choose_dataloader = dict(dataset=dict(pipeline=test_pipeline))

# COCO-Stuff without training, by ProxyCLIP (arXiv 2408.04883), with DINO ViT-B/8.
_base_ = './coco_stuff_naclip.py'
model = dict(
    backbone=dict(dense=dict(_delete_=True, type='proxy', model='vit_base_patch8_224.dino')),
    test_cfg=dict(crop_size=(336, 336)))

# VOC20 without training, by ProxyCLIP (arXiv 2408.04883), with DINO ViT-B/8. One word a class, as in its code.
_base_ = './voc20_naclip.py'
model = dict(
    backbone=dict(dense=dict(_delete_=True, type='proxy', model='vit_base_patch8_224.dino')),
    decode_head=dict(train_classes=_base_.one_word),
    test_cfg=dict(mode='slide', crop_size=(336, 336)))

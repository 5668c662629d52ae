# VOC21 without training, by ProxyCLIP (arXiv 2408.04883), with DINO ViT-B/8.
_base_ = './voc21_naclip.py'
model = dict(
    backbone=dict(dense=dict(_delete_=True, type='proxy', model='vit_base_patch8_224.dino')),
    test_cfg=dict(mode='slide', crop_size=(336, 336), prob_thd=0.2))

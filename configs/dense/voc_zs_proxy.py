# ProxyCLIP (arXiv 2408.04883): the attention of DINO ViT-B/8 over CLIP's values. No training.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense=dict(type='proxy', model='vit_base_patch8_224.dino')))

# NACLIP (arXiv 2404.08181): k-k attention to near patches, without residual and MLP. No training.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense='naclip'))

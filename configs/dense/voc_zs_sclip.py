# SCLIP (arXiv 2312.01597): q-q plus k-k attention, with residual and MLP. No training.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense='sclip'))

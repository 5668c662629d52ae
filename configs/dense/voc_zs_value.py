# The value path alone, without residual and MLP. No training.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense='value'))

# k-k attention, without residual and MLP (an ablation of NACLIP). No training.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense='kk'))

# Variant with two bottleneck blocks of spatial regularization, the best in LSeg's ablation.
_base_ = ['./ade20k_r101.py']
model = dict(decode_head=dict(regularization=dict(type='SpatialRegularization', block='bottleneck', depth=2)))

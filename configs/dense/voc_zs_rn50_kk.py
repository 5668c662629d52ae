# k-k attention of equal norms in a ResNet's attention pool (ours). No training.
_base_ = '../maskclip/voc_zs.py'
model = dict(backbone=dict(dense='kk'))

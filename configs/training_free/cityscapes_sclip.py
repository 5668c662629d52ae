# Cityscapes without training, by SCLIP (arXiv 2312.01597).
_base_ = './cityscapes_naclip.py'
model = dict(
    backbone=dict(dense='sclip'))

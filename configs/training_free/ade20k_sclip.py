# ADE20K without training, by SCLIP (arXiv 2312.01597).
_base_ = './ade20k_naclip.py'
model = dict(
    backbone=dict(dense='sclip'))

# Context59 without training, by SCLIP (arXiv 2312.01597).
_base_ = './context59_naclip.py'
model = dict(
    backbone=dict(dense='sclip'))

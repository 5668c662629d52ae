# Context60 without training, by SCLIP (arXiv 2312.01597).
_base_ = './context60_naclip.py'
model = dict(
    backbone=dict(dense='sclip'),
    decode_head=dict(scale=50.))

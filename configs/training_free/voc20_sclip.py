# VOC20 without training, by SCLIP (arXiv 2312.01597).
_base_ = './voc20_naclip.py'
model = dict(
    backbone=dict(dense='sclip'),
    test_cfg=dict(mode='slide'))

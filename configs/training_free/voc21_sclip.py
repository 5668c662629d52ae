# VOC21 without training, by SCLIP (arXiv 2312.01597).
_base_ = './voc21_naclip.py'
model = dict(
    backbone=dict(dense='sclip'),
    decode_head=dict(scale=65.),
    test_cfg=dict(mode='slide', area_thd=0.1))

# VOC21 without training, by MaskCLIP (arXiv 2112.01071), in the protocol of NACLIP.
_base_ = './voc21_naclip.py'
model = dict(backbone=dict(dense='maskclip'), test_cfg=dict(mode='slide'))

# VOC20 without training, by MaskCLIP (arXiv 2112.01071), in the protocol of NACLIP.
_base_ = './voc20_naclip.py'
model = dict(backbone=dict(dense='maskclip'), test_cfg=dict(mode='slide'))

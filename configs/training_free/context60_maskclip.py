# Context60 without training, by MaskCLIP (arXiv 2112.01071), in the protocol of NACLIP.
_base_ = './context60_naclip.py'
model = dict(backbone=dict(dense='maskclip'))

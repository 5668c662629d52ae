# Context59 without training, by MaskCLIP (arXiv 2112.01071), in the protocol of NACLIP.
_base_ = './context59_naclip.py'
model = dict(backbone=dict(dense='maskclip'))

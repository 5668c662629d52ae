# Context59 without training, by NACLIP (arXiv 2404.08181) and PAMR (2005.08104).
_base_ = './context59_naclip.py'
model = dict(test_cfg=dict(refine='pamr'))

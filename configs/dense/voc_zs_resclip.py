# The RCS part of ResCLIP (arXiv 2411.15851): NACLIP's attention mixed with that of the blocks 5 to 8. No training. The
# authors chose a share of 0.6 for VOC.
_base_ = '../maskclip/voc_zs_vit-b16.py'
model = dict(backbone=dict(dense=dict(type='resclip', middle_share=0.6)))

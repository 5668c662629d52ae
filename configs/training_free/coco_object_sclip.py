# COCO-Object without training, by SCLIP (arXiv 2312.01597).
_base_ = './coco_object_naclip.py'
model = dict(
    backbone=dict(dense='sclip'),
    decode_head=dict(scale=50.))

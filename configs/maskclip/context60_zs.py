# Context60: background is a seen class. Not comparable with context_zs.py (59 classes).
_base_ = [
    '../_base_/models/maskclip_rn50.py', '../_base_/datasets/context60_zs.py', '../_base_/default_runtime.py'
]
model = dict(decode_head=dict(train_classes='context60'))
# MaskCLIP needs no training.
train_dataloader = None
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# MaskCLIP on the toy world of this package. A toy, not a result.
_base_ = ['../_base_/models/maskclip_rn50.py', '../_base_/datasets/toy_zs.py', '../_base_/default_runtime.py']
model = dict(clip=dict(model='toy-rn', weights='toy'), decode_head=dict(train_classes='toy'))
# MaskCLIP needs no training.
train_dataloader = None
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# MaskCLIP on the toy world that ships with the project. A toy, not a result.
_base_ = ['../_base_/models/maskclip_rn50.py', '../_base_/datasets/toy_zs.py', '../_base_/default_runtime.py']
model = dict(clip=dict(model='toy-rn', weights='toy'), decode_head=dict(train_classes='toy'))
# Nothing is learned, so there is nothing to train with.
train_dataloader = None
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

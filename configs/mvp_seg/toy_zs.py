# MVP-SEG on the toy world of this package: one minute on two CPU cores. A toy, not a result.
_base_ = [
    '../_base_/models/mvp_seg_rn50.py', '../_base_/datasets/toy_zs.py', '../_base_/schedules/prompts_20k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    clip=dict(model='toy-rn', weights='toy'),
    data_preprocessor=dict(size=(64, 64)),
    decode_head=dict(train_classes='toy:seen', test_classes='toy', prompts=dict(context_length=6), scale=10.))
optim_wrapper = dict(optimizer=dict(lr=0.02))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=430, eta_min=0., by_epoch=False, begin=20, end=450)
]
train_cfg = dict(max_iters=450, val_interval=450)
default_hooks = dict(checkpoint=dict(interval=450))

# MVP-SEG+ on the toy world: the CLIP's own trunk as the student's backbone, a minute on two CPU cores.
_base_ = [
    '../_base_/models/mvp_seg_plus_deeplabv2_r101.py', '../_base_/datasets/toy_transductive.py',
    '../_base_/schedules/student_20k.py', '../_base_/default_runtime.py'
]
toy_clip = dict(model='toy-rn', weights='toy')
model = dict(
    teacher=dict(
        clip=toy_clip,
        decode_head=dict(
            train_classes='toy:seen', test_classes='toy', prompts=dict(context_length=6), scale=10.)),
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(_delete_=True, type='CLIPImageEncoder', clip=toy_clip, frozen=False),
    decode_head=dict(
        in_channels=96, in_index=-1, channels=96, dilations=(1, 2, 3), norm_cfg=dict(type='BN'), train_classes='toy'),
    unseen='toy:unseen')
optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=0.001, weight_decay=0.01))
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=300, by_epoch=False)]
train_cfg = dict(max_iters=300, val_interval=300)
default_hooks = dict(checkpoint=dict(interval=300))

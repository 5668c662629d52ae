# PASCAL Context with background as a seen class. Its name says little, so its embedding is learned.
_base_ = [
    '../_base_/models/mvp_seg_plus_deeplabv3plus_r101.py', '../_base_/datasets/context60_transductive.py',
    '../_base_/schedules/student_20k.py', '../_base_/default_runtime.py'
]
model = dict(
    teacher=dict(decode_head=dict(train_classes='context60:seen', test_classes='context60')),
    data_preprocessor=dict(size=(480, 480)),
    decode_head=dict(train_classes='context60', learn_background=True),
    unseen='context60:unseen')
optim_wrapper = dict(optimizer=dict(lr=0.004, weight_decay=0.0001))
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=40000, by_epoch=False)]
train_cfg = dict(max_iters=40000, val_interval=40000)

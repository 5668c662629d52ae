_base_ = [
    '../_base_/models/mvp_seg_plus_deeplabv2_r101.py', '../_base_/datasets/coco_stuff_transductive.py',
    '../_base_/schedules/student_20k.py', '../_base_/default_runtime.py'
]
model = dict(
    teacher=dict(decode_head=dict(train_classes='coco_stuff:seen', test_classes='coco_stuff')),
    decode_head=dict(train_classes='coco_stuff'),
    unseen='coco_stuff:unseen')
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=80000, by_epoch=False)]
train_cfg = dict(max_iters=80000, val_interval=80000)

# MVP-SEG+ on the toy world of this package: one minute on two CPU cores. A toy, not a result.
_base_ = [
    '../_base_/models/mvp_seg_plus_toy.py', '../_base_/datasets/toy_transductive.py',
    '../_base_/schedules/adamw_toy.py', '../_base_/default_runtime.py'
]
model = dict(
    teacher=dict(decode_head=dict(train_classes='toy:seen', test_classes='toy')),
    decode_head=dict(train_classes='toy'),
    unseen='toy:unseen')
default_hooks = dict(checkpoint=dict(interval=300))

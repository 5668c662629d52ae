# LSeg on the toy world of this package: one minute on two CPU cores. A toy, not a result.
_base_ = [
    '../_base_/models/lseg_toy.py', '../_base_/datasets/toy_zs.py', '../_base_/schedules/adamw_toy.py',
    '../_base_/default_runtime.py'
]
model = dict(decode_head=dict(train_classes='toy:seen', test_classes='toy'))
default_hooks = dict(checkpoint=dict(interval=300))

# Context60: background is a seen class. Not comparable with context_zs.py (59 classes).
_base_ = [
    '../_base_/models/mvp_seg_rn50.py', '../_base_/datasets/context60_zs.py', '../_base_/schedules/prompts_20k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    data_preprocessor=dict(size=(480, 480)),
    decode_head=dict(train_classes='context60:seen', test_classes='context60'))

_base_ = [
    '../_base_/models/mvp_seg_rn50.py', '../_base_/datasets/context59_zs.py', '../_base_/schedules/prompts_20k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    data_preprocessor=dict(size=(480, 480)),
    decode_head=dict(train_classes='context59:seen', test_classes='context59'))

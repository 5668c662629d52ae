_base_ = [
    '../_base_/models/mvp_seg_rn50.py', '../_base_/datasets/ade20k_zs.py', '../_base_/schedules/prompts_20k.py',
    '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(train_classes='ade20k:seen', test_classes='ade20k'))

_base_ = [
    '../_base_/models/mvp_seg_plus_deeplabv2_r101.py', '../_base_/datasets/voc20_transductive.py',
    '../_base_/schedules/student_20k.py', '../_base_/default_runtime.py'
]
model = dict(
    teacher=dict(decode_head=dict(train_classes='voc20:seen', test_classes='voc20')),
    decode_head=dict(train_classes='voc20'),
    unseen='voc20:unseen')

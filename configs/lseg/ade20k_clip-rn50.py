# LSeg with CLIP's ResNet-50 as encoder, trained on all classes of ADE20K. Not measured here.
_base_ = [
    '../_base_/models/lseg_clip-rn50.py', '../_base_/datasets/ade20k_lseg.py', '../_base_/schedules/lseg_300k.py',
    '../_base_/default_runtime.py'
]
model = dict(decode_head=dict(train_classes='ade20k'))

# LSeg with ViT-L/16, trained on all classes of ADE20K. It then segments any class names. Not measured here.
_base_ = [
    '../_base_/models/lseg_vit-l16.py', '../_base_/datasets/ade20k_lseg.py', '../_base_/schedules/lseg_300k.py',
    '../_base_/default_runtime.py'
]
model = dict(decode_head=dict(train_classes='ade20k'))

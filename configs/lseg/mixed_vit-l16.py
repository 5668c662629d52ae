# LSeg with ViT-L/16, trained on five data sets at once, each with its own labels. Nobody has measured it here.
# The schedule is that for ADE20K; to draw evenly from the five and to keep that schedule is our choice.
_base_ = [
    '../_base_/models/lseg_vit-l16.py', '../_base_/datasets/mixed_lseg.py', '../_base_/schedules/lseg_300k.py',
    '../_base_/default_runtime.py'
]
# ADE20K's names are those of validation and test; in training each image comes with the names of its data set.
model = dict(decode_head=dict(train_classes='ade20k', test_classes='ade20k'))

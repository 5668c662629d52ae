# LSeg with ViT-L/16, trained on five data sets together, each with its own labels. Not measured here.
# The schedule of ADE20K and even sampling from the five data sets are ours.
_base_ = [
    '../_base_/models/lseg_vit-l16.py', '../_base_/datasets/mixed_lseg.py', '../_base_/schedules/lseg_300k.py',
    '../_base_/default_runtime.py'
]
# Names for validation and test. In training, each image has the names of its own data set.
model = dict(decode_head=dict(train_classes='ade20k', test_classes='ade20k'))

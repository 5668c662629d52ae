# Cityscapes without training, by NACLIP (arXiv 2404.08181). Names of the data set without spaces, as published.
_base_ = [
    '../_base_/models/training_free_vit-b16.py',
    '../_base_/datasets/cityscapes_test.py',
    '../_base_/default_runtime.py',
]
from mmseg_mvp.vocabularies import class_names

model = dict(
    decode_head=dict(train_classes={name: name.replace(' ', '') for name in class_names('cityscapes')}))

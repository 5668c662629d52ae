# VOC20 without training, by NACLIP (arXiv 2404.08181). Whole images.
_base_ = [
    '../_base_/models/training_free_vit-b16.py',
    '../_base_/datasets/voc20_test.py',
    '../_base_/default_runtime.py',
]
from mmseg_mvp.vocabularies import class_entries

model = dict(
    decode_head=dict(train_classes=class_entries('voc21')[1:]),  # the words of VOC21, without background
    test_cfg=dict(mode='whole'))

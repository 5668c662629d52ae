# PASCAL Context-459 without training, by NACLIP (arXiv 2404.08181). Not in the paper.
_base_ = [
    '../_base_/models/training_free_vit-b16.py',
    '../_base_/datasets/context459_test.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(train_classes='context459', ignore_index=65535))

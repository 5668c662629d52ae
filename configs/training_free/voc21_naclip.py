# VOC21 without training, by NACLIP (arXiv 2404.08181). Whole images, background of 26 words.
_base_ = [
    '../_base_/models/training_free_vit-b16.py',
    '../_base_/datasets/voc21_test.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(train_classes='voc21'),
    test_cfg=dict(mode='whole', prob_thd=0.1, bg_idx=0))  # published; chosen on the test set

# VOC21 without training, by ProxyCLIP (arXiv 2408.04883), with DINO ViT-B/8. One word a class, as in its code.
_base_ = './voc21_naclip.py'
from mmseg_mvp.vocabularies import class_entries

model = dict(
    backbone=dict(dense=dict(_delete_=True, type='proxy', model='vit_base_patch8_224.dino')),
    decode_head=dict(train_classes=[class_entries('voc21')[0], *_base_.one_word]),  # 26 words for the background
    test_cfg=dict(mode='slide', crop_size=(336, 336), prob_thd=0.2))

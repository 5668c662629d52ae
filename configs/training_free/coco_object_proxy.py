# COCO-Object without training, by ProxyCLIP (arXiv 2408.04883), with DINO ViT-B/8. Words of its code.
_base_ = './coco_object_naclip.py'
from mmseg_mvp.vocabularies import class_names

background = ('background = sky, wall, tree, wood, grass, road, sea, river, mountain, sands, desk, bed, building, '
              'cloud, floor, hill, rail')
model = dict(
    backbone=dict(dense=dict(_delete_=True, type='proxy', model='vit_base_patch8_224.dino')),
    decode_head=dict(train_classes=[background, *class_names('coco_object')[1:]]),
    test_cfg=dict(crop_size=(336, 336), prob_thd=0.25))

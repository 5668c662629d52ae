# MVP-SEG over MetaCLIP's ViT-B/16 of 2.5 billion pairs (metaclip_fullcc): trained with QuickGELU, which open_clip has
# under the names with "-quickgelu". Under the other name the same weights load too, and give wrong features.
_base_ = '../mvp_seg/voc_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu', weights='metaclip_fullcc'))

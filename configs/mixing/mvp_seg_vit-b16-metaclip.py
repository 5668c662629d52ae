# MVP-SEG on MetaCLIP's ViT-B/16 of 2.5 billion pairs (metaclip_fullcc). It was trained with QuickGELU, so its name
# needs "-quickgelu". Without that suffix the weights load too, but give wrong features.
_base_ = '../mvp_seg/voc_zs.py'
model = dict(clip=dict(model='ViT-B-16-quickgelu', weights='metaclip_fullcc'))

# MVP-SEG on LAION's ViT-B/16 (laion2b_s34b_b88k). Set name and tag to use another open_clip model. This one was trained
# with GELU, so its name lacks "-quickgelu". A checkpoint loads with its own CLIP only.
_base_ = '../mvp_seg/voc_zs.py'
model = dict(clip=dict(model='ViT-B-16', weights='laion2b_s34b_b88k'))

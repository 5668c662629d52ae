# MVP-SEG over LAION's ViT-B/16 (laion2b_s34b_b88k): another open_clip model is another name and tag. This one was
# trained with GELU, so its name lacks "-quickgelu". A checkpoint belongs to its CLIP and is refused by any other.
_base_ = '../mvp_seg/voc_zs.py'
model = dict(clip=dict(model='ViT-B-16', weights='laion2b_s34b_b88k'))

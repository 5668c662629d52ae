# LSeg with CLIP's image tower as encoder: three ResNet stages and the dense features in CLIP's embedding space.
_base_ = ['./lseg_r101.py']
clip = dict(model='RN50-quickgelu', weights='openai')
model = dict(
    clip=clip,
    data_preprocessor=dict(mean=None, std=None),  # those of the CLIP
    backbone=dict(_delete_=True, type='CLIPImageEncoder', out_indices=(0, 1, 2), frozen=False),
    decode_head=dict(in_channels=[256, 512, 1024, 1024]))

# LSeg on the toy world: a small ResNet from scratch and the text tower of the toy CLIP.
_base_ = ['./lseg_r101.py']
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    clip=dict(model='toy-rn', weights='toy'),
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(depth=18, base_channels=16, stem_channels=16, norm_cfg=norm_cfg, init_cfg=None),
    decode_head=dict(in_channels=[16, 32, 64, 128], channels=48, norm_cfg=norm_cfg),
    test_cfg=dict(mode='whole', crop_size=None, stride=None))

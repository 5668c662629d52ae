# LSeg on the toy world with the image tower of the toy CLIP (the last stages keep stride 8) and its text tower.
_base_ = ['./lseg_clip-rn50.py']
model = dict(
    clip=dict(model='toy-rn', weights='toy'),
    data_preprocessor=dict(size=(64, 64)),
    decode_head=dict(
        in_channels=[64, 128, 256, 96], strides=(4, 8, 8, 8), channels=32,
        norm_cfg=dict(type='BN', requires_grad=True)),
    test_cfg=dict(mode='whole', crop_size=None, stride=None))

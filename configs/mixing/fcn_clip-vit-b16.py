# mmseg's FCNHead in mmseg's EncoderDecoder on frozen dense CLIP features (ViT-B/16), closed-set on ADE20K. It measures
# the features alone. Only the head is trained and saved in the checkpoint.
_base_ = [
    '../_base_/datasets/ade20k.py', '../_base_/schedules/student_20k.py', '../_base_/default_runtime.py'
]
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[122.7709, 116.7460, 104.0937],  # CLIP's, not ImageNet's
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='CLIPImageEncoder', clip=dict(model='ViT-B-16-quickgelu', weights='openai'), dense='maskclip'),
    decode_head=dict(
        type='FCNHead',
        num_classes=150,
        in_channels=512,  # size of CLIP's embeddings
        in_index=-1,
        channels=256,
        num_convs=1,
        concat_input=False,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    test_cfg=dict(mode='whole'))

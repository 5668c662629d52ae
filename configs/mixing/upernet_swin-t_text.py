# mmseg's UPerNet on Swin-T with text embeddings as its last layer. It trains on the masks of VOC's 15 seen classes and
# is tested on all 20. Its 512 channels are those of ViT-B/16's embeddings. The auxiliary head is mmseg's.
_base_ = [
    '../_base_/datasets/voc20_zs.py', '../_base_/schedules/adamw_20k.py', '../_base_/default_runtime.py'
]
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='OpenVocabEncoderDecoder',
    clip=dict(model='ViT-B-16-quickgelu', weights='openai'),
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet's; CLIP gets no images
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='SwinTransformer',
        embed_dims=96,
        depths=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        window_size=7,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/swin/'
            'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth')),
    decode_head=dict(
        type='TextUPerHead',
        train_classes='voc20:seen',
        test_classes='voc20',
        prompts=dict(type='TemplatePrompts'),
        in_channels=[96, 192, 384, 768],
        in_index=[0, 1, 2, 3],
        channels=512,
        norm_cfg=norm_cfg),
    auxiliary_head=dict(
        type='FCNHead',
        num_classes=15,  # seen classes; used in training only
        in_channels=384,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        norm_cfg=norm_cfg,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4, avg_non_ignore=True)),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            relative_position_bias_table=dict(decay_mult=0.),
            norm=dict(decay_mult=0.))))

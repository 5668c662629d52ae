# mmseg's SegFormer-B0 with text embeddings as its last layer. It trains on the masks of VOC's 15 seen classes and is
# tested on all 20. CLIP's embeddings do not have its 256 channels, so it learns a 1x1 projection.
_base_ = [
    '../_base_/datasets/voc20_zs.py', '../_base_/schedules/adamw_20k.py', '../_base_/default_runtime.py'
]
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
        type='MixVisionTransformer',
        embed_dims=32,
        num_layers=(2, 2, 2, 2),
        num_heads=(1, 2, 5, 8),
        patch_sizes=(7, 3, 3, 3),
        sr_ratios=(8, 4, 2, 1),
        qkv_bias=True,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b0_20220624-7e0fe6dd.pth')),
    decode_head=dict(
        type='TextSegformerHead',
        train_classes='voc20:seen',
        test_classes='voc20',
        prompts=dict(type='TemplatePrompts'),
        in_channels=[32, 64, 160, 256],
        in_index=[0, 1, 2, 3],
        channels=256,
        norm_cfg=dict(type='SyncBN', requires_grad=True)),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            norm=dict(decay_mult=0.),
            head=dict(lr_mult=10.))))

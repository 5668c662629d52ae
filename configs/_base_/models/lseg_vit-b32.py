# LSeg (arXiv 2201.03546) with ViT-B/32 (ImageNet, 384 x 384) and the text tower of CLIP ViT-B/32.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='OpenVocabEncoderDecoder',
    clip=dict(model='ViT-B-32-quickgelu', weights='openai'),
    size_divisor=32,
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
        size=(480, 480),
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='VisionTransformer',
        img_size=(384, 384),
        patch_size=32,
        patch_bias=True,
        embed_dims=768,
        num_layers=12,
        num_heads=12,
        qkv_bias=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        out_indices=(2, 5, 8, 11),
        with_cls_token=True,
        output_cls_token=True,
        final_norm=False,
        interpolate_mode='bilinear',
        # timm's vit_base_patch32_384, converted by MMSegmentation's tools/model_converters/vit2mmseg.py
        init_cfg=dict(type='Pretrained', checkpoint='pretrain/vit_base_patch32_384.pth')),
    decode_head=dict(
        type='LSegHead',
        in_channels=768,
        patch_size=32,
        readout_type='project',
        post_process_channels=[96, 192, 384, 768],
        channels=256,
        temperature=0.07,
        norm_cfg=norm_cfg),
    # A smaller image is one window.
    test_cfg=dict(mode='slide', crop_size=(480, 480), stride=(320, 320)))

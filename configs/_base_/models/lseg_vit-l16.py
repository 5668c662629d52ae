# LSeg with ViT-L/16 (ImageNet, 384 x 384) and the text tower of CLIP ViT-B/32.
_base_ = ['./lseg_vit-b32.py']
model = dict(
    backbone=dict(
        patch_size=16,
        embed_dims=1024,
        num_layers=24,
        num_heads=16,
        out_indices=(5, 11, 17, 23),
        init_cfg=dict(checkpoint='pretrain/vit_large_patch16_384.pth')),
    decode_head=dict(in_channels=1024, patch_size=16, post_process_channels=[256, 512, 1024, 1024]))

# LSeg with ResNet-101 (ImageNet, four stages fused without reassembly) and the text tower of CLIP ViT-B/32.
_base_ = ['./lseg_vit-b32.py']
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),  # ImageNet's
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101')),
    decode_head=dict(in_channels=[256, 512, 1024, 2048], readout_type=None, post_process_channels=None))

# MVP-SEG+ (arXiv 2304.06957): an MVP-SEG teacher and MaskCLIP+'s DeepLabV2 student.
_base_ = ['./mvp_seg_rn50.py']
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    _delete_=True,
    type='KnowledgeTransfer',
    teacher={{_base_.model}},
    teacher_checkpoint=None,  # checkpoint of configs/mvp_seg/*_zs.py
    teacher_share=0.1,  # share of the schedule; then the student makes pseudo labels
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],  # ImageNet's; images are normalised again for the teacher
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        size=(512, 512),
        pad_val=0,
        seg_pad_val=255),
    backbone=dict(
        type='ResNetV1c',
        depth=101,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        contract_dilation=True,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet101_v1c')),
    decode_head=dict(
        type='TextDeepLabV2Head',
        in_channels=2048,
        in_index=3,
        channels=1024,  # size of RN50's text embeddings
        dilations=(6, 12, 18, 24),
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='RefinedSegLoss')),
    test_cfg=dict(mode='whole'))

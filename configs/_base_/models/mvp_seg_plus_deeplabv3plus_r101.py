# MVP-SEG+ with MaskCLIP+'s student for PASCAL Context: DeepLabV3+ instead of DeepLabV2.
_base_ = ['./mvp_seg_plus_deeplabv2_r101.py']
model = dict(
    decode_head=dict(
        _delete_=True,
        type='TextDeepLabV3PlusHead',
        in_channels=2048,
        in_index=3,
        channels=512,
        dilations=(1, 12, 24, 36),
        c1_in_channels=256,
        c1_channels=48,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type='RefinedSegLoss')))

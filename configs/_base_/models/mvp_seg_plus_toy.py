# MVP-SEG+ on the toy world. The student's backbone is the image tower of the toy CLIP, fine-tuned.
_base_ = ['./mvp_seg_plus_deeplabv2_r101.py']
toy_clip = dict(model='toy-rn', weights='toy')
model = dict(
    teacher=dict(clip=toy_clip, decode_head=dict(prompts=dict(context_length=6), scale=10.)),
    data_preprocessor=dict(mean=None, std=None, size=(64, 64)),  # mean and std are those of the CLIP
    backbone=dict(_delete_=True, type='CLIPImageEncoder', clip=toy_clip, frozen=False),
    decode_head=dict(in_channels=96, in_index=-1, channels=96, dilations=(1, 2, 3), norm_cfg=dict(type='BN')))

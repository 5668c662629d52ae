# Annotation-free: MaskCLIP's templates label every pixel, no mask is read (MaskCLIP+, arXiv 2112.01071).
_base_ = ['./mvp_seg_plus_deeplabv2_r101.py']
model = dict(
    teacher=dict(
        decode_head=dict(
            _delete_=True,
            type='MultiPromptTextHead',
            prompts=dict(type='TemplatePrompts', templates='maskclip'),
            scale=100.)),
    teacher_share=1.)

# Annotation-free MaskCLIP+ (arXiv 2112.01071): MaskCLIP labels all pixels by templates, no mask is read.
_base_ = ['./mvp_seg_plus_deeplabv2_r101.py']
model = dict(
    teacher=dict(
        decode_head=dict(
            _delete_=True,
            type='MultiPromptTextHead',
            prompts=dict(type='TemplatePrompts', templates='maskclip'),
            scale=100.)),
    teacher_share=1.)

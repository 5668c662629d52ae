# The toy world without annotations: MaskCLIP labels all pixels, background too. A toy, not a result.
_base_ = [
    '../_base_/models/mvp_seg_plus_toy.py', '../_base_/datasets/toy_unlabelled.py',
    '../_base_/schedules/adamw_toy.py', '../_base_/default_runtime.py'
]
model = dict(
    teacher=dict(
        decode_head=dict(
            _delete_=True,
            type='MultiPromptTextHead',
            prompts=dict(type='TemplatePrompts', templates='maskclip'),
            train_classes='toy')),
    teacher_share=1.,
    decode_head=dict(train_classes='toy'),
    unseen='toy')
default_hooks = dict(checkpoint=dict(interval=300))

# MaskCLIP (arXiv 2112.01071): dense CLIP features against 85 templates, without training.
model = dict(
    type='CLIPEncoderDecoder',
    clip=dict(model='RN50-quickgelu', weights='openai'),
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[122.7709, 116.7460, 104.0937],  # CLIP's, not ImageNet's
        std=[68.5005, 66.6322, 70.3232],
        bgr_to_rgb=True),
    backbone=dict(type='CLIPImageEncoder', dense='maskclip'),
    decode_head=dict(
        type='MultiPromptTextHead',
        prompts=dict(type='TemplatePrompts', templates='maskclip'),
        synonyms='max',
        scale=100.),  # CLIP's logit scale; it has no effect on the label map
    test_cfg=dict(mode='whole'))

# MaskCLIP (arXiv 2112.01071): dense CLIP features against 85 templates, without training.
model = dict(
    type='CLIPEncoderDecoder',
    clip=dict(model='RN50-quickgelu', weights='openai'),
    data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),  # mean and std are those of the CLIP
    backbone=dict(type='CLIPImageEncoder'),  # dense='maskclip' by default
    decode_head=dict(
        type='MultiPromptTextHead',
        prompts=dict(type='TemplatePrompts', templates='maskclip'),
        synonyms='max',
        scale=100.),  # CLIP's logit scale; it has no effect on the label map
    test_cfg=dict(mode='whole'))

# Training-free segmentation by OpenAI's ViT-B/16 in the protocol of SCLIP (arXiv 2312.01597) and NACLIP (2404.08181):
# 80 sentences, windows of 224 pixels in steps of 112 whose cosines are enlarged to pixels, softmax over words.
model = dict(
    type='CLIPEncoderDecoder',
    clip=dict(model='ViT-B-16-quickgelu', weights='openai'),
    data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True),  # mean and std are those of the CLIP
    backbone=dict(type='CLIPImageEncoder', dense='naclip'),
    decode_head=dict(
        type='MultiPromptTextHead',
        prompts=dict(type='TemplatePrompts', templates='imagenet'),
        synonyms='max',
        scale=40.),
    test_cfg=dict(mode='slide', crop_size=(224, 224), stride=(112, 112), stitch='pixels', word_softmax=True))
